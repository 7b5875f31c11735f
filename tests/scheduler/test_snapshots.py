"""What the scheduler remembers, as JSON and back; ``tests/simulation`` shows that nothing is lost at any step."""

from __future__ import annotations

import json
import re
from dataclasses import fields

import pytest
from gate_world import LAYOUT, GateWorld, earlier, layout_of, new_world, play
from scripted_world import NoFunctions

from ci_gate.scheduler.outbound import Outbound
from ci_gate.scheduler.scheduler import Scheduler
from ci_gate.scheduler.snapshots import VERSION, SnapshotError
from ci_gate.scheduler.state import ChangeQueue, Item, PipelineState, State
from ci_gate.scheduler.waiting import Intake


def restart(world: GateWorld, layout=None) -> None:
    """The service stops, and begins again from what it wrote."""
    written = json.dumps(world.scheduler.snapshot())
    world.scheduler = Scheduler.restore(
        layout or world.layout, json.loads(written), options=world.options, oracle=NoFunctions()
    )


def test_a_gate_goes_on_as_if_nothing_had_happened():
    world = new_world()
    earlier(world, "A", "B", "C")
    restart(world)
    play(
        world,
        (
            lambda: world.ends("one", "B", "FAILURE"),
            "cancel one of C; merge A→z1 C→z4; launch one for [A C] on z4",
            "gate: A, B (on A, failing), C (on A)",
        ),
    )
    restart(world)
    world.ends("one", "C")
    restart(world)
    play(
        world,
        (
            lambda: world.ends("one", "A"),
            (
                "report A: success (Verified=+2 submit): one SUCCESS; report B: failure (Verified=-2): one FAILURE; "
                "report C: success (Verified=+2 submit): one SUCCESS"
            ),
            "",
        ),
    )


def test_another_layout_takes_over_by_the_next_input():
    world = new_world()
    earlier(world, "A")
    world.uploaded("A")
    other = layout_of(re.sub(r"\bgate\b", "tor", LAYOUT))
    restart(world, other)
    assert set(world.scheduler._state.pipelines) == {each.name for each in world.layout.pipelines}
    told = world.reload(other)
    assert told == ["cancel one of A"]
    assert set(world.scheduler._state.pipelines) == {each.name for each in other.pipelines}


def test_a_queue_of_many_is_written_in_proportion():
    """Each stands on all before it; who writes them all for each writes a million for a thousand."""

    def size(length: int) -> int:
        world = new_world(layout=layout_of(WIDE))
        for number in range(length):
            name = chr(ord("A") + number)
            world.create(name)
            world.approved(name)
        return len(json.dumps(world.scheduler.snapshot()))

    assert size(40) < 2.5 * size(20)


WIDE = """
pipelines:
  - name: gate
    manager: DependentPipelineManager
    window: 0
    trigger: {gerrit: [{event: comment-added, approval: [{Workflow: 1}]}]}
    success: {gerrit: {Verified: 2, submit: true}}
projects:
  - {name: demo/one, gate: [one]}
"""


def test_a_snapshot_of_another_version_is_refused_by_name():
    world = new_world()
    snapshot = {**world.scheduler.snapshot(), "version": VERSION + 1}
    with pytest.raises(SnapshotError, match=f"version {VERSION + 1}; this ci-gate reads version {VERSION}"):
        Scheduler.restore(world.layout, snapshot, options=world.options, oracle=NoFunctions())


@pytest.mark.parametrize("part", ["records", "pipelines", "intake", "outbound", "turns", "identifiers"])
def test_a_snapshot_that_makes_no_sense_is_refused(part):
    world = new_world()
    earlier(world, "A")
    snapshot = world.scheduler.snapshot()
    del snapshot[part]
    with pytest.raises(SnapshotError, match="makes no sense"):
        Scheduler.restore(world.layout, snapshot, options=world.options, oracle=NoFunctions())


DERIVED = {
    PipelineState: {"pipeline", "index", "by_line"},
    ChangeQueue: {"by_key"},
    Item: {"subject_key", "pipeline", "queue", "view", "jobs"},
    State: {"layout", "options", "event_delays", "items_by_build_set", "builds_by_uuid"},
    Intake: {"lanes"},
    Outbound: {"by_number"},
}
"""What a snapshot has under other names, or can do without."""


@pytest.mark.parametrize("kind", DERIVED)
def test_no_field_is_forgotten(kind):
    world = new_world(answers_reports=False)
    earlier(world, "A")
    text = json.dumps(world.scheduler.snapshot())
    missing = {each.name for each in fields(kind)} - DERIVED[kind]
    assert {name for name in missing if f'"{name}"' not in text} == set()
