"""A new layout between two inputs: what still has a place goes on, the rest leaves without a word (scheduler.md 13)."""

from __future__ import annotations

from dataclasses import replace

import gate_world
from scripted_world import NoFunctions, World, check_pipeline, layout, project, votes

from ci_gate.model.layout import Job
from ci_gate.model.options import SchedulerSettings
from ci_gate.model.report import DeliveryOutcome
from ci_gate.scheduler.effects import Merge, SendReport
from ci_gate.scheduler.explain import Code
from ci_gate.scheduler.inputs import LayoutReplaced


def reload(world, new):
    return world.step(LayoutReplaced(world.at, 1, new, NoFunctions()))


def with_jobs(*jobs, **options):
    return layout(projects=(project("demo/one", check=list(jobs)),), **options)


def test_the_same_layout_changes_nothing():
    world = World()
    world.upload("A", "demo/app")
    world.starts("lint", "A")
    before = world.scheduler.view().pipelines[0].queues[0].heads[0][0]
    assert reload(world, layout()) == []
    after = world.scheduler.view().pipelines[0].queues[0].heads[0][0]
    assert (after.enqueued_at, after.ref, after.jobs) == (before.enqueued_at, before.ref, before.jobs)
    assert world.scheduler.view().last_reconfigured == world.at


def test_a_job_that_is_gone_is_cancelled_and_not_reported():
    world = World(with_jobs("one", "two"))
    world.upload("A")
    assert reload(world, with_jobs("one")) == ["cancel two of A"]
    assert world.ends("one", "A") == ["report A: Build succeeded. (Verified=+1); one SUCCESS"]


def test_options_that_come_with_a_layout_shape_the_next_report():
    world = World(with_jobs("one"))
    world.upload("A")
    new = SchedulerSettings(job_name_in_report=True, url_pattern="http://logs/{job.name}")
    world.step(LayoutReplaced(world.at, 1, with_jobs("one"), NoFunctions(), new))
    reload(world, with_jobs("one"))
    world.ends("one", "A")
    assert "- one http://logs/one : SUCCESS" in world.sent()[-1].report.message


def test_a_new_job_is_launched_on_the_same_ref():
    world = World(with_jobs("one"))
    world.upload("A")
    assert reload(world, with_jobs("one", "two")) == ["launch two for [A] on z1"]


def test_results_that_are_there_count_in_the_new_tree():
    world = World(with_jobs("one", "other"))
    world.upload("A")
    world.ends("one", "A", "FAILURE")
    assert reload(world, with_jobs({"one": ["two"]}, "other")) == []
    (report,) = world.ends("other", "A")
    assert "two SKIPPED" in report


def test_the_last_missing_job_gone_completes_the_item():
    world = World(with_jobs("one", "two"))
    world.upload("A")
    world.ends("one", "A")
    told = reload(world, with_jobs("one"))
    assert told[0] == "cancel two of A"
    assert told[1].startswith("report A: Build succeeded.")


def test_items_of_a_pipeline_or_project_that_is_gone_leave_without_a_word():
    world = World(with_jobs("one"))
    world.upload("A")
    assert reload(world, layout(projects=(project("demo/one"),))) == ["cancel one of A"]
    assert world.queues() == {}
    world = World(with_jobs("one"))
    world.upload("A")
    assert reload(world, layout(check_pipeline(name="other"))) == ["cancel one of A"]
    assert world.sent() == []


def test_a_merge_under_way_survives():
    world = World(with_jobs("one"), answers_merges=False)
    world.upload("A")
    (merge,) = world.outstanding(Merge)
    reload(world, with_jobs("one", "two"))
    world.pending.remove(merge)
    assert world.step(world.merge_answer(merge)) == ["launch one for [A] on z1", "launch two for [A] on z1"]


def test_a_report_under_way_arrives_although_its_pipeline_is_gone():
    world = World(with_jobs("one"), answers_reports=False)
    world.upload("A")
    world.ends("one", "A")
    (report,) = world.outstanding(SendReport)
    reload(world, layout(check_pipeline(name="other")))
    world.delivers(report, DeliveryOutcome.UNREACHABLE)
    world.fire_timers(world.at + 100)
    (again,) = world.outstanding(SendReport)
    world.delivers(again)
    assert world.scheduler.undelivered_reports() == ()


def test_a_mutex_that_the_layout_renames_is_still_given_free():
    jobs = {"one": Job("one", mutex="old"), "two": Job("two", mutex="new")}
    world = World(with_jobs("one", jobs=jobs))
    world.upload("A")
    renamed = {"one": Job("one", mutex="new"), "two": Job("two", mutex="new")}
    reload(world, with_jobs("one", "two", jobs=renamed))
    world.ends("one", "A")
    assert not [name for name in world.scheduler._state.mutexes if name == "old"]


def test_new_messages_filters_and_votes_are_in_force_at_once():
    world = World(with_jobs("one"))
    world.upload("A")
    changed = replace(check_pipeline(success=votes(Verified=2)), success_message="Fine.")
    reload(world, layout(changed, projects=(project("demo/one", check=["one"]),)))
    assert world.ends("one", "A") == ["report A: Fine. (Verified=+2); one SUCCESS"]


def test_a_disabled_pipeline_is_enabled():
    world = World(layout(check_pipeline(disable_after=1)))
    world.upload("A")
    world.ends("one", "A", "FAILURE")
    world.upload("B")
    assert world.ends("one", "B") == []
    reload(world, layout(check_pipeline(disable_after=1)))
    world.upload("C")
    assert world.ends("one", "C") != []


WITHOUT_PAIR = gate_world.layout_with(("gate: [one, two]", "post: [one]"))


def reported_and_one_behind():
    """A of demo/pair is being reported, B of demo/one stands on it."""
    world = gate_world.new_world(answers_reports=False)
    world.create("A", "demo/pair")
    world.create("B", "demo/one")
    world.approved("A")
    world.approved("B")
    world.ends("one", "A")
    world.ends("two", "A")
    return world


def told_to_gerrit(world, name):
    """Its start report, and then the one that submits it."""
    for _ in range(2):
        (report,) = [each for each in world.outstanding(SendReport) if world._name(each.report.number, "1") == name]
        world._submit(report.report)
        told = world.delivers(report)
    return told


def test_who_stands_on_one_that_is_being_reported_goes_on_although_that_one_has_no_place_any_more():
    world = reported_and_one_behind()
    assert world.reload(WITHOUT_PAIR) == []
    assert world.queues_text() == "gate: A, B (on A)"
    world.ends("one", "B")
    told_to_gerrit(world, "A")
    assert world.queues_text() == "gate: B"
    told_to_gerrit(world, "B")
    assert [world.details(each).status for each in "AB"] == ["MERGED", "MERGED"]
    assert {each.name for each in world.scheduler._state.pipelines["gate"].queues} == {
        each.display_name for each in WITHOUT_PAIR.queues["gate"]
    }


def test_who_stands_on_one_that_is_not_merged_after_all_starts_anew():
    world = reported_and_one_behind()
    world.reload(WITHOUT_PAIR)
    world.refuses_to_submit.add("A")
    assert told_to_gerrit(world, "A")[:3] == ["cancel one of B", "merge B→z3", "launch one for [B] on z3"]


def test_what_is_being_submitted_is_in_front_of_all_that_come_when_its_project_is_back():
    world = reported_and_one_behind()
    world.reload(WITHOUT_PAIR)
    world.reload(gate_world.THE_LAYOUT)
    world.create("C", "demo/pair")
    assert "merge A→z1 B→z2 C→z3" in world.approved("C")
    assert world.queues_text() == "gate: A, B (on A), C (on B)"


def test_what_is_being_submitted_alone_is_in_front_too():
    world = gate_world.new_world(answers_reports=False)
    world.create("A", "demo/docs")
    world.approved("A")
    world.ends("docs-build", "A")
    world.reload(gate_world.layout_with(("gate: [docs-build]", "post: [docs-build]")))
    world.create("B", "demo/docs")
    assert world.approved("B") == []  # it may not enter
    assert Code.NO_QUEUE in world.codes()
    world.reload(gate_world.THE_LAYOUT)
    assert "merge A→z1 B→z2" in world.approved("B")
