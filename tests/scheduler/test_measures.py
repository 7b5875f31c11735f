"""What is counted, and what the older service left out and we leave out too (scheduler.md 17)."""

from __future__ import annotations

import pytest
from gate_world import new_world
from scripted_world import World, check_pipeline, layout, project

from ci_gate.model.build import BuildUpdate
from ci_gate.model.commands import Enqueue
from ci_gate.model.event import Event
from ci_gate.model.layout import EventFilter, Job, Pipeline
from ci_gate.model.measures import BuildFinished, EventTaken, ItemEntered, ItemLeft
from ci_gate.model.report import DeliveryOutcome
from ci_gate.scheduler.effects import SendReport
from ci_gate.scheduler.inputs import BuildUpdated, Commanded, Input, TimeCame


class Counting(World):
    """Keeps all measures."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.measures = []
        handle = self.scheduler.handle

        def handle_and_keep(message: Input):
            effects = handle(message)
            self.measures.extend(self.scheduler.last_measures)
            return effects

        self.scheduler.handle = handle_and_keep

    def of(self, kind: type) -> list:
        return [each for each in self.measures if isinstance(each, kind)]


def test_every_event_counts_also_one_that_starts_nothing():
    world = Counting()
    world.upload("A")
    world.comment("A", "nice")
    world.tell(Event("ref-updated", "gerrit", "demo/unknown", ref="master", oldrev="a" * 40, newrev="b" * 40))
    assert [each.type for each in world.of(EventTaken)] == ["patchset-created", "comment-added", "ref-updated"]


def test_a_timer_counts_for_each_project_that_has_jobs_there():
    nightly = Pipeline("nightly", triggers=(EventFilter("timer", ("timer",), timespecs=("0 2 * * *",)),))
    others = (project("demo/x", nightly=["one"]), project("demo/y", nightly=["one"]), project("demo/z", nightly=[]))
    world = Counting(layout(nightly, projects=others))
    world.step(TimeCame(world.at, "0 2 * * *"))
    assert [each.type for each in world.of(EventTaken)] == ["timer", "timer"]
    assert world.of(ItemEntered) == [ItemEntered("nightly")] * 2


def test_the_services_own_events_count():
    parent = Pipeline("again", triggers=(EventFilter("zuul", ("parent-change-enqueued",)),))
    world = new_world(
        layout=layout(check_pipeline(), parent, projects=(project("demo/one", check=["one"], again=["one"]),))
    )
    world.create("A")
    world.create("B", on="A")
    world.uploaded("B")
    seen = []
    handle = world.scheduler.handle
    world.scheduler.handle = lambda message: (handle(message), seen.extend(world.scheduler.last_measures))[0]
    world.uploaded("A")
    assert EventTaken("parent-change-enqueued") in seen


def test_an_operators_command_is_no_event():
    world = Counting()
    world.create("A")
    world.step(Commanded(world.at, 1, Enqueue("gerrit", "check", "demo/one", "1,1")))
    assert world.of(ItemEntered) == [ItemEntered("check")]
    assert world.of(EventTaken) == []


def test_an_item_is_counted_when_it_leaves_with_the_time_since_it_came():
    world = Counting(answers_reports=False)
    world.upload("A")
    world.at += 60
    world.ends("one", "A")
    assert world.of(ItemLeft) == [], "its report is under way"
    world.at += 5
    (report,) = world.outstanding(SendReport)
    world.delivers(report, DeliveryOutcome.DELIVERED)
    assert world.of(ItemLeft) == [ItemLeft("check", "demo/one", 65.0)]


def test_an_item_without_jobs_leaves_after_no_time_and_counts():
    world = Counting()
    world.upload("A", "demo/nothing")
    assert [(type(each)) for each in world.measures] == [EventTaken, ItemEntered, ItemLeft]
    assert world.of(ItemLeft) == [ItemLeft("check", "demo/nothing", 0.0)]


def test_an_item_that_is_withdrawn_counts_and_its_builds_do_not():
    world = Counting()
    world.upload("A")
    world.abandon("A")
    assert len(world.of(ItemLeft)) == 1
    assert world.of(BuildFinished) == []


@pytest.mark.parametrize("result", ["SUCCESS", "FAILURE", "ABORTED", None])
def test_a_finished_build_tells_how_long_it_waited_and_ran(result):
    world = Counting()
    world.upload("A")
    world.at += 3
    world.starts("one", "A")
    labels = BuildUpdate(world.requests["one", "A"], started=True, node_name="n1", node_labels=("n1", "trusty", "big"))
    world.at += 60
    world.step(BuildUpdated(world.at, labels))
    world.ends("one", "A", result)
    assert world.of(BuildFinished) == [BuildFinished("check", "one", result, 3.0, 60.0, ("trusty", "big"))]


def test_a_build_that_never_started_has_no_times():
    world = Counting()
    world.upload("A")
    world.ends("one", "A", "LOST")
    assert world.of(BuildFinished) == [BuildFinished("check", "one", "LOST")]


def test_what_was_never_asked_of_workers_is_not_counted():
    jobs = {"one": Job("one", attempts=1), "broken": Job("broken", parameter_function="broken")}
    demo = project("demo/mixed", check=["noop", {"one": ["below"]}, "broken", "nobody"])
    world = Counting(layout(check_pipeline(), jobs=jobs, projects=(demo,)))
    world.oracle.edit_parameters = lambda item, job, parameters: type("A", (), {"error": "KeyError"})
    world.upload("A", "demo/mixed")
    world.ends("nobody", "A", "NOT_REGISTERED")
    world.ends("one", "A", None)  # and then RETRY_LIMIT, and below it SKIPPED
    assert world.of(BuildFinished) == [BuildFinished("check", "one", None)]
    assert len(world.of(ItemLeft)) == 1


def test_the_result_of_a_build_that_nobody_waits_for_is_not_counted():
    world = Counting()
    world.upload("A")
    world.abandon("A")
    world.ends("one", "A")
    assert world.of(BuildFinished) == []
