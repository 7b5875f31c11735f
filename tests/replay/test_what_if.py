"""What another layout would have decided about recorded events."""

from __future__ import annotations

from dataclasses import replace

import pytest
from recorded_parts import RecordedHistory, RecordedScript, World
from scripted_world import READY, check_pipeline, gerrit_filter, layout, project, votes
from simulated_layouts import random_layouts

from ci_gate.model.expression import Expression
from ci_gate.model.layout import DEPENDENT, Job, Pipeline, SharedQueue
from ci_gate.replay.differing import difference_lines, summary
from ci_gate.replay.running import Span
from ci_gate.replay.what_if import what_if
from ci_gate.scheduler.oracle import Answer
from ci_gate.store.reading import JournalReader


class Functions:
    def edit_parameters(self, item, job, parameters) -> Answer:
        return Answer({**parameters, "EXTRA": "1"})


def gate() -> Pipeline:
    return Pipeline(
        "gate",
        manager=DEPENDENT,
        triggers=(gerrit_filter("comment-added", comments=(Expression("(?mi)^merge$"),)),),
        success=(replace(votes(Verified=2)[0], flags=("submit",)),),
        failure=votes(Verified=-2),
    )


def site(*, check=("one", "docs"), changed_check=None, jobs=None, gated=("one",)):
    pipelines = (changed_check or check_pipeline(), gate())
    made = layout(*pipelines, jobs=jobs or {}, projects=(project("demo/one", check=list(check), gate=list(gated)),))
    return replace(made, queues={"gate": (SharedQueue(("demo/one",)),)})


@pytest.fixture
def recorded(tmp_path) -> RecordedScript:
    """A and B were checked, B failed in ``docs``; A was gated and merged."""
    recorded = RecordedScript(tmp_path, World(site()))
    world = recorded.world
    for name, docs in (("A", "SUCCESS"), ("B", "FAILURE")):
        world.upload(name, branch="master" if name == "A" else "stable", submit_records=(READY,))
        world.at += 10
        world.ends("one", name)
        world.ends("docs", name, docs)
    world.comment("A", "merge")
    world.at += 10
    world.ends("one", "A")
    return recorded


def lines(recorded, new, **asked) -> list[str]:
    source = JournalReader(recorded.address)
    return list(difference_lines(what_if(source, Span(), new, Functions()), as_json=False, **asked))


def test_with_the_layout_that_was_in_force_nothing_goes_differently(recorded):
    found = what_if(JournalReader(recorded.address), Span(), site(), Functions())
    assert found.changes == ()
    assert found.compared == 3
    assert summary(found).endswith("nothing would have gone differently")


def test_a_new_job_is_gained_and_its_success_is_assumed(recorded):
    assert lines(recorded, site(check=("one", "docs", "lint"))) == [
        "1,1  check  +lint (success assumed)",
        "2,1  check  +lint (success assumed)",
    ]


def test_without_the_job_that_failed_the_result_is_another(recorded):
    assert lines(recorded, site(check=("one",))) == [
        "1,1  check  -docs",
        "2,1  check  -docs, FAILURE → SUCCESS",
    ]


def test_a_recorded_result_counts_where_there_is_one(recorded):
    jobs = {"docs": Job("docs", branches=(Expression("^stable$"),))}
    assert lines(recorded, site(jobs=jobs)) == ["1,1  check  -docs"]
    voting = {"docs": Job("docs", voting=False)}
    assert lines(recorded, site(jobs=voting)) == ["2,1  check  FAILURE → SUCCESS"]


def test_what_would_not_have_entered_is_told_with_the_reason(recorded):
    narrow = check_pipeline(triggers=(gerrit_filter("patchset-created", branches=(Expression("^master$"),)),))
    (told,) = lines(recorded, site(changed_check=narrow))
    assert told == "2,1  check  would not have entered: branch 'stable' does not match ^master$"


def test_what_a_new_pipeline_would_have_taken_is_told_with_its_jobs(recorded):
    post = Pipeline("second", triggers=(gerrit_filter("patchset-created"),), success=votes(Verified=1))
    both = site()
    new = replace(
        both,
        pipelines=(*both.pipelines, post),
        projects={"demo/one": project("demo/one", check=["one", "docs"], gate=["one"], second=["one"])},
    )
    assert lines(recorded, new) == [
        "1,1  second  would have entered, +one (success assumed), SUCCESS",
        "2,1  second  would have entered, +one (success assumed), SUCCESS",
    ]
    assert lines(recorded, new, subject="2") == ["2,1  second  would have entered, +one (success assumed), SUCCESS"]


def test_a_pipeline_that_is_gone_takes_its_entries_with_it(recorded):
    without = site()
    new = replace(without, pipelines=without.pipelines[:1], queues={})
    assert lines(recorded, new) == ["1,1  gate  would not have entered: the layout has no such pipeline"]
    found = what_if(JournalReader(recorded.address), Span(), new, Functions())
    assert "gate: 0 enter more, 1 less, 0 fare otherwise" in summary(found)


def test_functions_are_asked_afresh_and_that_is_told(recorded):
    jobs = {"one": Job("one", parameter_function="extra")}
    found = what_if(JournalReader(recorded.address), Span(), site(jobs=jobs), Functions())
    assert found.changes == ()
    assert found.asked_afresh == 3
    assert "layout functions were asked afresh, 3 times" in summary(found)


def test_a_layout_takes_over_in_the_middle_with_what_is_inside_then(tmp_path):
    recorded = RecordedScript(tmp_path, World(site()))
    world = recorded.world
    world.upload("A")
    world.at += 10
    since = world.at
    world.ends("one", "A")
    world.ends("docs", "A", "FAILURE")
    world.upload("B")
    world.at += 10
    world.ends("one", "B")
    world.ends("docs", "B")
    source = JournalReader(recorded.address)
    same = what_if(source, Span(since=since), site(), Functions())
    assert same.changes == ()
    more = what_if(source, Span(since=since), site(check=("one", "docs", "lint")), Functions())
    assert [(each.subject, each.gained) for each in more.changes] == [("1,1", ("lint",)), ("2,1", ("lint",))]


def test_an_empty_span_has_nothing_to_compare(recorded):
    found = what_if(JournalReader(recorded.address), Span(since=1e12), site(), Functions())
    assert (found.changes, found.compared, found.steps) == ((), 0, 0)


@pytest.mark.parametrize("seed", [3, 4, 11])
def test_whatever_the_layout_and_the_history_all_comes_to_rest_the_same_each_time(tmp_path, seed):
    recorded = RecordedHistory(tmp_path, seed)
    for new in random_layouts(seed + 1):
        source = JournalReader(recorded.address)
        found = what_if(source, Span(), new, Functions())
        assert not found.unfinished
        assert found.compared
        assert found == what_if(source, Span(), new, Functions())
