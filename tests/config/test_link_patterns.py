"""Patterns of links that no build can satisfy are told when they are read (ci-conf.md 4.1)."""

from __future__ import annotations

import pytest
from layout_parts import CONNECTIONS

from ci_gate.config.layout import load_layout
from ci_gate.config.link_patterns import ANY, KNOWN, pattern_problem
from ci_gate.model.build import Worker
from ci_gate.model.change import Change, ChangeKey, RefKey, RefUpdate
from ci_gate.model.item import BuildView
from ci_gate.scheduler.patterns import Fields, PatternError, build_fields, change_fields, expand

CHANGE = Change(ChangeKey("gerrit", "1", "1"), "demo/app", "master", refspec="refs/changes/01/1/1", url="http://x/1")
REF = RefUpdate(RefKey("gerrit", "demo/app", "master", "b" * 40), "a" * 40, "http://x/r")
BUILD = BuildView("u" * 32, "unit", "SUCCESS", 7, "http://jenkins/7/", {"LOG_PATH": "01/1"}, worker=Worker("w"))


def names(fields):
    """What a bundle of fields offers, in the form of ``KNOWN``."""
    if isinstance(fields, Fields):
        return {name: names(value) for name, value in fields.fields.items()}
    return ANY if isinstance(fields, dict) else None


def plain(known):
    return known if known is None or known is ANY else {name: plain(value) for name, value in known.items()}


def test_the_names_that_are_known_are_those_that_reports_have():
    change = names(change_fields(CHANGE)) | names(change_fields(REF))
    name = {"name": None}
    assert plain(KNOWN) == {"change": change, "pipeline": name, "job": name, "build": names(build_fields(BUILD))}


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "http://logs/{job.name}",
        "{change.number}/{change.patchset}/{change.project}/{change.project.name}",
        "{change.newrev:.7}/{pipeline.name:>{build.number}}",
        "{build.parameters[LOG_PATH]}/{build.parameters[a.b]}/{build.worker.name!s}",
        "{{{job.name}}}",
        "{change}",
    ],
)
def test_a_pattern_that_some_build_satisfies_is_fine(pattern):
    assert pattern_problem(pattern) is None


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("{change.number", "expected '}' before end of string"),
        ("}", "Single '}' encountered in format string"),
        ("{}", "'' is not a field"),
        ("{0}", "there is no 0"),
        ("{chnage.number}", "there is no chnage; did you mean change?"),
        ("{change.numbr}", "there is no change.numbr; did you mean change.number?"),
        ("{change.__class__}", "there is no change.__class__"),
        ("{change.number.real}", "there is no change.number.real"),
        ("{change.number[0]}", "change.number has no members in brackets"),
        ("{build.parameters.LOG_PATH}", "build.parameters.LOG_PATH: write build.parameters[LOG_PATH]"),
        ("{build.parameters[X].y}", "there is no build.parameters[X].y"),
        ("{job.name!x}", "!x is not a conversion"),
        ("{job.name:{width}}", "there is no width"),
    ],
)
def test_what_no_build_has_is_named(pattern, problem):
    assert pattern_problem(pattern) == problem
    for subject in (CHANGE, REF):
        with pytest.raises(PatternError):
            expand(
                pattern,
                change=change_fields(subject),
                pipeline=Fields("gate", name="gate"),
                job=Fields("unit", name="unit"),
                build=build_fields(BUILD),
            )


def test_a_jobs_pattern_is_told_with_its_place(tmp_path):
    path = tmp_path / "layout.yaml"
    path.write_text(
        "pipelines: []\nprojects: []\njobs:\n"
        "  - {name: a, success-pattern: '{build.nummer}', failure-pattern: '{build.number}'}\n"
    )
    (problem,) = [each for each in load_layout(path, connections=CONNECTIONS).problems if each.code == "no-effect"]
    assert (problem.line, problem.column) == (4, 32)
    assert problem.text == "success-pattern has no effect: there is no build.nummer; did you mean build.number?"
