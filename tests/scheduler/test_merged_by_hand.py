"""A change that somebody merges while it is in a gate counts as merged (scheduler.md 7.2, 11.3, fault 29)."""

from __future__ import annotations

from gate_world import GateWorld, earlier, new_world, play

from ci_gate.model.report import DeliveryOutcome
from ci_gate.scheduler.effects import SendReport
from ci_gate.scheduler.explain import Code


def merge_by_hand(world: GateWorld, name: str) -> list[str]:
    world.change(name, status="MERGED", is_open=False)
    return world.tell(world.event("change-merged", name))


def test_it_stays_to_its_end_and_nothing_behind_it_restarts():
    world = new_world()
    earlier(world, "A", "B")
    play(
        world,
        (lambda: merge_by_hand(world, "A"), "", "gate: A, B (on A)"),
        (
            lambda: world.ends("one", "A"),
            "report A: success (Verified=+2 submit): one SUCCESS",
            "gate: B",
        ),
        (lambda: world.ends("one", "B"), "report B: success (Verified=+2 submit): one SUCCESS", ""),
    )


def test_it_counts_as_merged_although_it_failed_if_the_branch_has_what_was_tested():
    world = new_world()
    earlier(world, "A", "B")
    merge_by_hand(world, "A")
    play(
        world,
        (lambda: world.ends("one", "A", "FAILURE"), "report A: failure (Verified=-2): one FAILURE", "gate: B"),
        (lambda: world.ends("one", "B"), "report B: success (Verified=+2 submit): one SUCCESS", ""),
    )
    assert Code.SUBMITTED in world.codes()


def test_those_behind_a_failed_one_restart_if_the_branch_has_something_else():
    world = new_world(as_built=False)
    earlier(world, "A", "B")
    merge_by_hand(world, "A")
    play(
        world,
        (
            lambda: world.ends("one", "A", "FAILURE"),
            "report A: failure (Verified=-2): one FAILURE; cancel one of B; merge B→z3; launch one for [B] on z3",
            "gate: B",
        ),
    )
    assert not [each for each in world.sent() if each.report.message.startswith("All tests passed")]


def test_gerrit_may_refuse_the_vote_on_what_is_merged_already():
    world = new_world(answers_reports=False)
    earlier(world, "A", "B")
    merge_by_hand(world, "A")
    for each in world.outstanding(SendReport):
        world.delivers(each)
    world.ends("one", "A")
    (report,) = world.outstanding(SendReport)
    told = world.delivers(report, DeliveryOutcome.REFUSED, "change is merged")
    assert told == []
    assert world.queues_text() == "gate: B"


def test_what_was_stopped_for_it_begins_anew_on_it_when_it_is_not_needed_any_more():
    world = new_world()
    world.create("A", "demo/pair")
    world.create("B", needs="A")
    for name in "AB":
        world.approved(name)
    world.ends("one", "A", "FAILURE")
    merge_by_hand(world, "A")
    play(
        world,
        (
            lambda: world.comment("B", "nice"),
            "merge A→z1 B→z3; launch one for [A B] on z3",
            "gate: A (failing), B (on A)",
        ),
        (lambda: world.ends("two", "A"), "report A: failure (Verified=-2): one FAILURE, two SUCCESS", "gate: B"),
        (lambda: world.ends("one", "B"), "report B: success (Verified=+2 submit): one SUCCESS", ""),
    )


def test_what_stands_on_it_begins_anew_when_it_is_stopped_itself():
    world = new_world()
    world.create("A", "demo/pair")
    world.create("B", needs="A")
    world.create("C")
    for name in "ABC":
        world.approved(name)
    merge_by_hand(world, "B")
    play(
        world,
        (
            lambda: world.ends("one", "A", "FAILURE"),
            "cancel one of B; cancel one of C; merge A→z1 B→z2 C→z4; launch one for [A B C] on z4",
            "gate: A (failing), B (on A, failing), C (on B)",
        ),
    )
