"""What mergers are asked for (scheduler.md 8): one link of a chain, and what they need to know besides."""

from __future__ import annotations

from gate_world import earlier, layout_with, new_world, play

from ci_gate.model.merge import MergeOutcome
from ci_gate.scheduler.effects import Merge


def test_a_gate_has_the_merger_look_at_the_branch_and_a_check_takes_what_events_tell():
    world = new_world(answers_merges=False)
    world.create("A")
    world.uploaded("A")
    world.approved("A")
    check, gate = world.outstanding(Merge)
    assert (check.fresh, gate.fresh) == (False, True)


def test_each_change_is_asked_for_on_the_one_ahead_with_the_length_of_its_chain():
    world = new_world(answers_merges=False)
    for name in "ABC":
        world.create(name)
        world.approved(name)
    asked = [each.request for each in world.outstanding(Merge)]
    assert [(each.ahead, each.depth) for each in asked] == [(None, 1), (asked[0].ref, 2), (asked[1].ref, 3)]
    assert [each.revision for each in asked] == [world.details(name).patch_sets[-1].revision for name in "ABC"]
    assert world.scheduler.states_in_use() == tuple(each.ref for each in asked)


def test_what_was_merged_in_front_does_not_count_for_the_length():
    world = new_world()
    for name in "AB":
        world.create(name)
        world.approved(name)
    world.ends("one", "A")
    world.create("C")
    world.approved("C")
    asked = [each.request for each in world.all_effects if isinstance(each, Merge)]
    assert [each.depth for each in asked] == [1, 2, 2]
    assert asked[2].ahead == asked[1].ref


# --- a merge that failed for technical reasons ---


def test_what_has_left_the_window_does_not_merge_again_until_it_is_back():
    """The window shrinks without a fresh build set where what failed was not stood on any more."""
    window = "precedence: high\n    window: 4\n    window-floor: 1\n    window-decrease-factor: 9"
    world = new_world(layout=layout_with(("precedence: high", window)))
    earlier(world, "A", "B", "C")
    world.ends("one", "B", "FAILURE")
    world.merge_outcomes = [MergeOutcome.INTERNAL]
    world.create("D")
    play(
        world,
        (
            lambda: world.approved("D"),
            "report D: start (Verified=+0); merge A→z1 C→z4 D→z5",
            "gate: A, B (on A, failing), C (on A), D (on C)",
        ),
        (
            lambda: world.ends("one", "A"),
            "report A: success (Verified=+2 submit): one SUCCESS; report B: failure (Verified=-2): one FAILURE",
            "gate: C, D (on C, outside)",
        ),
        (lambda: world.waits_for("merge"), "", "gate: C, D (on C, outside)"),
        (
            lambda: world.ends("one", "C"),
            "report C: success (Verified=+2 submit): one SUCCESS; merge D→z5; launch one for [D] on z5",
            "gate: D",
        ),
    )


def test_the_tries_before_an_item_left_the_window_count():
    window = "precedence: high\n    window: 4\n    window-floor: 1\n    window-decrease-factor: 9"
    world = new_world(layout=layout_with(("precedence: high", window)))
    earlier(world, "A", "B", "C")
    world.ends("one", "B", "FAILURE")
    world.merge_outcomes = [MergeOutcome.INTERNAL] * 4
    earlier(world, "D")
    world.ends("one", "A")
    assert world.waits_for("merge") == []
    world.ends("one", "C")
    assert world.waits_for("merge") == ["merge D→z5"]
    (told,) = [each for each in world.waits_for("merge") if each.startswith("report")]
    assert told == "report D: technical problem ()"


def test_what_needs_a_failing_change_does_not_merge_again_until_that_passes():
    """A reload may let it pass, with nothing tested anew."""
    world = new_world()
    for name in "AB":
        world.create(name, "demo/app")
        world.approved(name)
    world.merge_outcomes = [MergeOutcome.INTERNAL]
    world.create("C", "demo/app", needs="B")
    play(
        world,
        (
            lambda: world.approved("C"),
            "report C: start (Verified=+0); merge A→z1 B→z2 C→z3",
            "gate: A, B (on A), C (on B)",
        ),
        (lambda: world.ends("lint", "B", "FAILURE"), "", "gate: A, B (on A, failing), C (on B, failing)"),
        (lambda: world.waits_for("merge"), "", "gate: A, B (on A, failing), C (on B, failing)"),
        (
            lambda: world.reload(layout_with(("  - {name: perf", "  - {name: lint, voting: false}\n  - {name: perf"))),
            "merge A→z1 B→z2 C→z3; launch lint for [A B C] on z3; launch unit for [A B C] on z3",
            "gate: A, B (on A), C (on B)",
        ),
    )


def test_a_merge_asked_for_again_stands_on_what_is_still_ahead():
    world = new_world()
    earlier(world, "A")
    world.merge_outcomes = [MergeOutcome.INTERNAL]
    earlier(world, "B")
    world.ends("one", "A")
    assert world.waits_for("merge") == ["merge B→z2", "launch one for [B] on z2"]
    asked = [each.request for each in world.all_effects if isinstance(each, Merge)]
    assert [(each.ahead, each.depth) for each in asked] == [(None, 1), (asked[0].ref, 2), (None, 1)]


TRIGGER = "trigger: {gerrit: [{event: comment-added, approval: [{Workflow: 1}]}]}"
REFS_TOO = (TRIGGER, TRIGGER.replace("]}]}", "]}, {event: ref-updated}]}"))


def test_a_change_behind_a_moved_ref_is_merged_on_the_change_before_that():
    """The ref is in its branch already: there is no state of it that a merger could know."""
    world = new_world(layout=layout_with(REFS_TOO))
    for name in "AB":
        world.create(name)
    world.approved("A")
    assert world.ref_updated("demo/one", "master", "1", "2") == [
        "update repository demo/one",
        "launch one for ref master",
    ]
    assert world.approved("B") == [
        "report B: start (Verified=+0)",
        "merge A→z1 B→z2",
        "launch one for [A B] on z2",
    ]
    first, second = (each.request for each in world.all_effects if isinstance(each, Merge))
    assert (second.ahead, second.depth) == (first.ref, 2)
    assert world.ends("one", "A", "FAILURE") == [
        "report A: failure (Verified=-2): one FAILURE",
        "cancel one of B",
        "merge B→z3",
        "launch one for [B] on z3",
    ]
    (*_, last) = (each.request for each in world.all_effects if isinstance(each, Merge))
    assert (last.ahead, last.depth) == (None, 1)


def test_a_change_without_jobs_that_stands_before_a_moved_ref_is_merged_below_all_the_same():
    world = new_world(layout=layout_with(REFS_TOO, ("jobs:", "jobs:\n  - {name: one, branch: [master, x]}")))
    for name in "ABC":
        world.create(name, branch="stable" if name == "B" else "master")
    for name in "AB":
        world.approved(name)
    world.ref_updated("demo/one", "master", "1", "2")
    assert world.approved("C") == [
        "report C: start (Verified=+0)",
        "merge A→z1 B→z2",
        "merge A→z1 B→z2 C→z3",
        "launch one for [A B C] on z3",
    ]
