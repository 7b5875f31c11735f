"""What no worked example shows: histories in which the scheduler once decided otherwise than the full walk would."""

from __future__ import annotations

from gate_world import layout_with, new_world, play

from ci_gate.scheduler.effects import Merge, QueryChange, SearchChanges
from ci_gate.scheduler.inputs import ChangeAnswered, ChangesFound


def test_what_is_merged_elsewhere_is_not_put_in_front_again():
    """A change of a foreign project, that only the record of another change leads to."""
    world = new_world()
    world.create("A", "elsewhere/x")
    world.create("B", needs="A")
    world.create("C", on="B")
    world.uploaded("B")
    world.ends("one", "B")
    world.change("A", status="MERGED", is_open=False)
    world.tell(world.event("change-merged", "A"))
    play(
        world,
        (
            lambda: world.uploaded("C"),
            "merge B→z3; merge B→z3 C→z4; launch one for [B C] on z4",
            "check: B (dead), C (on B)",
        ),
    )


def test_a_footer_counts_from_when_the_change_that_it_names_is_there():
    """Also if that is of a foreign project, and nothing of it was known before."""
    world = new_world()
    world.create("A", "elsewhere/x")
    world.change("A", status="ABANDONED", is_open=False)
    world.create("B", needs="A")
    world.approved("B")
    play(
        world,
        (
            lambda: world.restore("A"),
            "cancel one of B; report B: needed change failed (Verified=-2)",
            "",
        ),
    )


def test_a_change_that_is_under_way_may_come_in_behind_what_it_needs():
    """C waits for B to be put in front of it; B brings D, which needs C."""
    world = new_world()
    for name, on, needs in (("A", None, ""), ("B", None, ""), ("C", None, "AB"), ("D", "B", "C"), ("E", "B", "")):
        world.create(name, on=on, needs=needs)
    world.comment("B", "nice")
    world.approved("A")
    assert world.queues_text() == "gate: A, B (on A), C (on B), D (on C), E (on D)"


def test_a_fresh_chance_of_what_is_needed_is_one_for_those_that_need_it():
    """Also outside the window, where no build of theirs would bring them back to mind."""
    window = "precedence: high\n    window: 2\n    window-floor: 2"
    world = new_world(layout=layout_with(("precedence: high", window)), refuses_to_submit={"A"})
    for name, needs in (("A", ""), ("B", ""), ("C", ""), ("D", "B")):
        world.create(name, needs=needs, ready=name != "D")
    world.approved("A")
    world.answers_merges = False
    world.approved("B")
    world.approved("C")
    world.becomes_ready("D")
    world.approved("D")
    (merge,) = world.outstanding(Merge)
    world.unmergeable.add("B")
    world.step(world.merge_answer(merge))
    assert world.queues_text() == "gate: A, B (on A, failing), C (on A, outside), D (on B, failing, outside)"
    play(
        world,
        (
            lambda: world.ends("one", "A"),
            "report A: success (Verified=+2 submit): one SUCCESS; merge B→z3; merge B→z3 C→z4",
            "gate: B, C (on B), D (on C, outside)",
        ),
    )


def test_a_need_that_was_merged_by_hand_while_it_failed_stops_nobody():
    """What waited for it goes on with the merge that it has."""
    world = new_world()
    world.create("A", "demo/pair")
    world.create("B", needs="A")
    world.answers_merges = False
    world.approved("B")
    first, second = world.outstanding(Merge)
    world.step(world.merge_answer(first))
    world.ends("one", "A", "FAILURE")
    assert world.queues_text() == "gate: A (failing), B (on A, failing)"
    world.change("A", status="MERGED", is_open=False)
    world.tell(world.event("change-merged", "A"))
    play(
        world,
        (lambda: world.comment("B", "nice"), "", "gate: A (failing), B (on A)"),
        (lambda: world.step(world.merge_answer(second)), "launch one for [A B] on z2", "gate: A (failing), B (on A)"),
    )


def test_what_was_stopped_for_a_failing_need_begins_anew_when_that_recovers():
    """A is moved to a branch where the job that failed does not apply."""
    edits = (
        ("{name: manual, files: ^doc/}", "{name: manual, branch: master}"),
        ("check: [one],        gate: [one],", "check: [one],        gate: [one, manual],"),
    )
    world = new_world(layout=layout_with(*edits))
    world.create("A")
    world.create("B", needs="A")
    world.approved("B")
    play(
        world,
        (
            lambda: world.ends("manual", "A", "FAILURE"),
            "cancel manual of B; cancel one of B",
            "gate: A (failing), B (on A, failing)",
        ),
    )
    world.change("A", branch="stable")
    play(
        world,
        (
            lambda: world.tell(world.event("topic-changed", "A")),
            "merge A→z1 B→z3; launch one for [A B] on z3; launch manual for [A B] on z3",
            "gate: A, B (on A)",
        ),
    )


def test_a_circle_that_closes_while_an_event_waits_keeps_its_change_out():
    world = new_world(answers_queries=False)
    for name, on in (("A", None), ("B", None), ("C", "B")):
        world.create(name, on=on)
    world.uploaded("A")
    world.uploaded("C")
    answer_all_but(world, "A")
    world.change("B", commit_message=f"Depends-On: {world.details('C').change_id}\n")
    world.comment("B", "nice")
    answer_all_but(world, "A")
    world.answers_queries = True
    (query,) = world.outstanding(QueryChange)
    world.step(ChangeAnswered(world.at, query.ticket, world.details("A")))
    assert world.queues_text() == "check: A"
    told = [each.text for each in world.decisions if each.pipeline == "check" and each.subject == "3,1"]
    assert told[-1] == "it needs 2,1, which cannot enter"


def answer_all_but(world, name: str) -> None:
    """Queries are answered, those about one change excepted."""
    while questions := [
        each
        for each in world.outstanding(QueryChange | SearchChanges)
        if isinstance(each, SearchChanges) or each.number != world.details(name).number
    ]:
        for each in questions:
            world.pending.remove(each)
            if isinstance(each, SearchChanges):
                world.step(ChangesFound(world.at, each.ticket, world.search(each.search)))
            else:
                world.step(ChangeAnswered(world.at, each.ticket, world.changes[each.number]))


def test_what_is_tested_together_stays_together_when_one_comes_to_need_another():
    """When A is restored B needs it; both are merged below D already, and in check their order does not matter."""
    world = new_world()
    world.create("A")
    world.change("A", status="ABANDONED", is_open=False)
    world.create("B", needs="A")
    world.create("C", on="A")
    world.create("D", on="B", needs="C")
    world.uploaded("D")
    before = "check: B (dead), A (on B, dead), C (on A, dead), D (on C)"
    assert world.queues_text() == before
    play(world, (lambda: world.restore("A"), "merge A→z5; launch one for [A] on z5", f"{before} | check: A"))
