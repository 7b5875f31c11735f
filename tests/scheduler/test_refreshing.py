"""Refreshes that overlap: an answer that is older than what is known changes nothing (scheduler.md 3.2)."""

from __future__ import annotations

from gate_world import new_world

from ci_gate.model.change import ChangeKey
from ci_gate.scheduler.effects import QueryChange, SearchChanges
from ci_gate.scheduler.inputs import ChangeAnswered, ChangesFound


def answer(world, kind: type, *, after: int = 0) -> list[str]:
    """Answer the oldest question of a kind with what Gerrit has now; of those with a ticket ``after`` this one."""
    question = next(each for each in world.outstanding(kind) if each.ticket > after)
    world.pending.remove(question)
    if isinstance(question, SearchChanges):
        return world.step(ChangesFound(world.at, question.ticket, world.search(question.search)))
    return world.step(ChangeAnswered(world.at, question.ticket, world.changes[question.number]))


def test_a_merge_is_not_taken_back_by_a_refresh_that_began_before_it():
    world = new_world()
    world.create("A")
    world.create("B", on="A")
    world.approved("B")
    world.answers_queries = False
    world.comment("A", "nice")
    answer(world, QueryChange)
    assert world.ends("one", "A") == ["report A: success (Verified=+2 submit): one SUCCESS"]
    answer(world, SearchChanges)
    assert world.queues_text() == "gate: B"
    assert world.ends("one", "B") == ["report B: success (Verified=+2 submit): one SUCCESS"]


def test_what_one_refresh_was_told_later_stands_though_another_ends_after_it():
    world = new_world(answers_queries=False)
    world.create("A")
    world.create("B", needs="A")
    world.uploaded("B")
    answer(world, QueryChange)
    answer(world, SearchChanges)
    before = max(each.ticket for each in world.outstanding(SearchChanges))
    world.add_patch_set("A")
    world.uploaded("A")
    answer(world, QueryChange)
    while any(each.ticket > before for each in world.outstanding(SearchChanges)):
        answer(world, SearchChanges, after=before)
    records = world.scheduler._state.records
    assert records.change(ChangeKey("gerrit", "1", "2")) is not None
    while world.outstanding(SearchChanges):
        answer(world, SearchChanges)
    assert world.queues_text() == "check: A2 (dead), B (on A2) | check: A2"
    assert records.change(ChangeKey("gerrit", "1", "1")) is None
    assert records.change(ChangeKey("gerrit", "1", "2")).is_current
