"""A step costs what it touches (scheduler.md 20, no. 10): counted in calls, not in time."""

from __future__ import annotations

import sys
from types import FrameType

import pytest
from gate_world import GateWorld, new_world
from scripted_world import JOE, vote

from ci_gate.model.build import BuildEnd, BuildUpdate
from ci_gate.model.event import Event
from ci_gate.scheduler.effects import Effect, LaunchBuild, QueryChange, RecordHistory, RecordRunTime, SearchChanges
from ci_gate.scheduler.inputs import BuildEnded, BuildUpdated, EventReceived, Input, TimerFired
from ci_gate.scheduler.scheduler import Scheduler

SHORT, LONG = 20, 200
SLACK = 12  # looking something up in a list that is ten times as long takes a step or two more


def queue_of(length: int) -> GateWorld:
    """A gate in which every item runs both jobs of its project; and a change that has nothing to do with it."""
    world = new_world()
    world.create("A", "demo/docs")
    for number in range(length):
        name = chr(ord("B") + number)
        world.create(name, "demo/pair")
        world.approved(name)
    return world


class Counting:
    """A scheduler of which every function call in Python is counted, while it handles something."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.calls = 0

    def handle(self, message: Input) -> list[Effect]:
        former = sys.getprofile()
        sys.setprofile(self._count)
        try:
            return self.scheduler.handle(message)
        finally:
            sys.setprofile(former)

    def _count(self, _frame: FrameType, event: str, _argument: object) -> None:
        self.calls += event == "call"

    def __getattr__(self, name: str) -> object:
        return getattr(self.scheduler, name)


def a_comment_elsewhere(world: GateWorld) -> list[str]:
    return world.comment("A", "nice")


def a_vote_elsewhere_that_is_not_enough(world: GateWorld) -> list[str]:
    world.change("A", votes=(vote("Code-Review", 1, JOE, world.at),))
    return world.comment("A", "fine", votes=(vote("Code-Review", 1),))


def a_push_that_nobody_waits_for(world: GateWorld) -> list[str]:
    event = Event("ref-updated", "gerrit", "demo/pair", ref="refs/tags/x", oldrev="0" * 40, newrev="1" * 40)
    return world.step(EventReceived(world.at, event))


def a_timer_of_what_is_gone(world: GateWorld) -> list[str]:
    return world.step(TimerFired(world.at, "merge:Zgone"))


def a_build_tells_of_itself(world: GateWorld) -> list[str]:
    return world.step(BuildUpdated(world.at, BuildUpdate(middle(world), started=True, number=5)))


def a_build_passes(world: GateWorld) -> list[str]:
    return world.step(BuildEnded(world.at, BuildEnd(middle(world), "SUCCESS")))


def a_stale_result(world: GateWorld) -> list[str]:
    return world.step(BuildEnded(world.at, BuildEnd("f" * 32, "SUCCESS")))


def middle(world: GateWorld) -> str:
    launched = [each.request.uuid for each in world.all_effects if isinstance(each, LaunchBuild)]
    return launched[len(launched) // 2]


@pytest.mark.parametrize(
    "happens",
    [
        a_comment_elsewhere,
        a_vote_elsewhere_that_is_not_enough,
        a_push_that_nobody_waits_for,
        a_timer_of_what_is_gone,
        a_build_tells_of_itself,
        a_build_passes,
        a_stale_result,
    ],
    ids=lambda each: each.__name__,
)
def test_what_changes_nothing_for_a_queue_costs_the_same_however_long_it_is(happens):
    counted = {}
    for length in (SHORT, LONG):
        world = queue_of(length)
        before, queues = len(world.all_effects), world.queues_text()
        counting = world.scheduler = Counting(world.scheduler)
        happens(world)
        counted[length] = counting.calls
        made = [each for each in world.all_effects[before:] if not isinstance(each, RecordRunTime | RecordHistory)]
        assert not [each for each in made if not isinstance(each, QueryChange | SearchChanges)]
        assert world.queues_text() == queues
    assert 0 < counted[LONG] <= counted[SHORT] + SLACK, counted
