"""Format strings of reports that can never be filled in are known beforehand (ci-conf.md 4.1)."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from layout_parts import CHECK

from ci_gate.config.report_patterns import IN_MAILS, IN_REPORTS, why_never
from ci_gate.model.build import Worker
from ci_gate.model.change import Account, Change, ChangeKey, RefKey, RefUpdate
from ci_gate.model.item import BuildView
from ci_gate.scheduler.patterns import Fields, PatternError, build_fields, change_fields, expand

CHANGE = Change(
    ChangeKey("gerrit", "110", "2"),
    "demo/app",
    "master",
    "refs/changes/10/110/2",
    url="https://r",
    owner=Account("Ann"),
)
REF = RefUpdate(RefKey("gerrit", "demo/app", "refs/heads/x", "b" * 40), "a" * 40, "https://r/x")
BUILD = BuildView(
    "u" * 32,
    "unit",
    "SUCCESS",
    7,
    "http://j/7",
    {"LOG_PATH": "10/110", "name": "x"},
    started_at=1.0,
    ended_at=2.0,
    worker=Worker("w", "h", "f", "p", "1"),
    node_name="n",
)
WORDS = st.sampled_from(
    [*("change", "pipeline", "job", "build", "number", "ref"), *("project", "name", "parameters", "LOG_PATH", "")]
)
PIECES = st.sampled_from([".", "[", "]", "{", "}", ":>5", "!r", " "]) | WORDS


def can_be_filled_in(pattern: str) -> bool:
    for subject in (CHANGE, REF):
        try:
            expand(
                pattern,
                change=change_fields(subject),
                pipeline=Fields("check", name="check"),
                job=Fields("unit", name="unit"),
                build=build_fields(BUILD),
            )
        except PatternError:
            continue
        return True
    return False


FIELDS = st.lists(WORDS, max_size=3).map(lambda words: f"{{{'.'.join(words)}}}")


@given(st.lists(PIECES, max_size=9).map("".join) | FIELDS)
@settings(max_examples=2000, deadline=None)
@example("{build.parameters[LOG_PATH]}")
@example("{build.parameters[a[b]}")
@example("{change.branch}{change.ref}")
def test_what_is_said_never_to_work_never_works(pattern):
    assert not (why_never(pattern, IN_REPORTS) and can_be_filled_in(pattern))


@pytest.mark.parametrize(
    "pattern",
    [
        "http://l/{change.number}/{change.patchset}/{pipeline.name}/{job.name}/{build.number}",
        "{build.parameters[LOG_PATH]}",
        "{build.worker.name}{{x}}{change.project}{change.project.name:>9}",
        "{change.ref}{change.oldrev}",
        "",
    ],
)
def test_what_works_is_left_alone(pattern):
    assert why_never(pattern, IN_REPORTS) is None
    assert can_be_filled_in(pattern)


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("{x", "expected '}' before end of string"),
        ("{}", "{} names nothing"),
        ("{0}", "{0}: there is no 0, only change, pipeline, job, build"),
        ("{job.nam}", "{job.nam}: there is no nam, only name"),
        ("{build.uuid.x}", "{build.uuid.x}: there is no x"),
        ("{change.project[name]}", "{change.project[name]}: there is no [name], only name"),
        ("{change.__class__}", "{change.__class__}: there is no __class__, only number"),
    ],
)
def test_what_cannot_work_is_explained(pattern, why):
    assert why_never(pattern, IN_REPORTS).startswith(why)


def test_mails_know_the_change_only():
    assert why_never("{change.project} broke", IN_MAILS) is None
    assert why_never("{build.url}", IN_MAILS) == "{build.url}: there is no build, only change"


def test_a_layout_with_such_patterns_is_warned_of_and_loads(layouts):
    text = CHECK + (
        "    failure: {smtp: {subject: '{build.url} broke'}}\n"
        "jobs:\n  - {name: unit, success-pattern: 'http://{job.nam}', failure-pattern: '{build.url}'}\n"
        "projects: []\n"
    )
    assert layouts.problems(text) == ["7:31 bad-pattern", "9:35 bad-pattern"]
    assert layouts.texts(text)[1] == (
        "success-pattern: {job.nam}: there is no nam, only name; "
        "it can never be filled in, and reports link to the worker's URL instead"
    )
