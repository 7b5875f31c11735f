"""Needed changes: ``spec/walkthroughs.md``, section C, and those of section A."""

from __future__ import annotations

import pytest
from gate_world import NOT_READY, earlier, layout_with, new_world, play
from scripted_world import change_id_of

from ci_gate.scheduler.effects import QueryChange, SearchChanges
from ci_gate.scheduler.explain import Code


def test_w6_git_parent_that_is_still_open():
    world = new_world()
    world.create("A")
    world.create("B", on="A")
    play(
        world,
        (
            lambda: world.uploaded("B"),
            "merge A→z1; merge A→z1 B→z2; launch one for [A B] on z2",
            "check: A (dead), B (on A)",
        ),
        (lambda: world.ends("one", "B"), "report B: success (Verified=+1): one SUCCESS", ""),
    )


def test_w7_footers_across_projects_also_unknown_ones():
    world = new_world()
    world.create("A", "elsewhere/x")
    world.create("B", "demo/lib", needs="A")
    world.create("C", "demo/app", needs="B")
    play(
        world,
        (
            lambda: world.uploaded("C"),
            (
                "merge A→z1; merge A→z1 B→z2; merge A→z1 B→z2 C→z3; launch lint for [A B C] on z3; "
                "launch unit for [A B C] on z3"
            ),
            "check: A (dead), B (on A, dead), C (on B)",
        ),
        (lambda: world.uploaded("A"), "", "check: A (dead), B (on A, dead), C (on B)"),
    )


def test_w8_a_needed_change_does_not_merge():
    world = new_world()
    world.create("A", "demo/lib")
    world.create("B", needs="A")
    world.unmergeable |= {"A", "B"}
    play(
        world,
        (
            lambda: world.uploaded("B"),
            "merge A→z1; merge A→z1 B→z2; report B: merge failure (Verified=-1)",
            "",
        ),
    )


def test_w9_a_needed_change_is_abandoned_meanwhile():
    world = new_world()
    world.create("A", "demo/lib")
    world.create("B", needs="A")
    play(
        world,
        (
            lambda: world.uploaded("B"),
            "merge A→z1; merge A→z1 B→z2; launch one for [A B] on z2",
            "check: A (dead), B (on A)",
        ),
        (lambda: world.abandon("A"), "", "check: A (dead), B (on A)"),
        (lambda: world.ends("one", "B"), "report B: success (Verified=+1): one SUCCESS", ""),
        (lambda: world.comment("B", "recheck"), "merge B→z3; launch one for [B] on z3", "check: B"),
    )


def test_w10_a_cycle():
    world = new_world()
    world.create("A", needs="B")
    world.create("B", needs="A")
    play(world, (lambda: world.uploaded("A"), "", ""), (lambda: world.uploaded("B"), "", ""))
    told = [each.text for each in world.decisions if each.code is Code.CYCLE]
    assert told == [
        "changes need each other in a circle, so none of them can enter: 1, 2",
        "changes need each other in a circle, so none of them can enter: 2, 1",
    ]
    world.change("A", commit_message="Without a footer\n\nChange-Id: " + str(world.details("A").change_id))
    play(
        world,
        (lambda: world.new_patch_set("A"), "merge A2→z1; launch one for [A2] on z1", "check: A2"),
        (
            lambda: world.comment("B", "recheck"),
            "merge A2→z2; merge A2→z2 B→z3; launch one for [A2 B] on z3",
            "check: A2 | check: A2 (dead), B (on A2)",
        ),
    )


def test_w10_also_from_outside_by_depending_on_a_member():
    world = new_world()
    world.create("A", needs="B")
    world.create("B", needs="A")
    world.create("C", on="A")
    play(world, (lambda: world.uploaded("C"), "", ""))
    assert Code.CYCLE in world.codes()


def test_w30_approving_the_child_brings_the_parent():
    world = new_world()
    world.create("A")
    world.create("B", on="A")
    play(
        world,
        (
            lambda: world.approved("B"),
            (
                "report A: start (Verified=+0); report B: start (Verified=+0); merge A→z1; merge A→z1 B→z2; "
                "launch one for [A] on z1; launch one for [A B] on z2"
            ),
            "gate: A, B (on A)",
        ),
        (lambda: world.ends("one", "B"), "", "gate: A, B (on A)"),
        (
            lambda: world.ends("one", "A", "FAILURE"),
            "report A: failure (Verified=-2): one FAILURE; report B: needed change failed (Verified=-2)",
            "",
        ),
    )


def test_w31_approving_the_parent_brings_ready_children():
    world = new_world()
    world.create("A")
    world.create("B", on="A")
    world.create("C", on="A", ready=False)

    def ready_and_approved():
        world.becomes_ready("C")
        return world.approved("C")

    play(
        world,
        (
            lambda: world.approved("A"),
            (
                "report A: start (Verified=+0); report B: start (Verified=+0); merge A→z1; merge A→z1 B→z2; "
                "launch one for [A] on z1; launch one for [A B] on z2"
            ),
            "gate: A, B (on A)",
        ),
        (
            ready_and_approved,
            "report C: start (Verified=+0); merge A→z1 B→z2 C→z3; launch one for [A B C] on z3",
            "gate: A, B (on A), C (on B)",
        ),
    )


def test_w32_child_approved_before_its_parent():
    world = new_world()
    world.create("A", ready=False)
    world.create("B", on="A")

    def ready_and_approved():
        world.becomes_ready("A")
        return world.approved("A")

    play(
        world,
        (lambda: world.approved("B"), "", ""),
        (
            ready_and_approved,
            (
                "report A: start (Verified=+0); report B: start (Verified=+0); merge A→z1; merge A→z1 B→z2; "
                "launch one for [A] on z1; launch one for [A B] on z2"
            ),
            "gate: A, B (on A)",
        ),
    )


def test_w33_needed_change_in_another_queue():
    world = new_world()
    world.create("A", "demo/docs")
    world.create("B", needs="A")
    play(
        world,
        (lambda: world.approved("B"), "", ""),
        (
            lambda: world.approved("A"),
            "report A: start (Verified=+0); merge A→z1; launch docs-build for [A] on z1",
            "gate: A",
        ),
        (
            lambda: world.ends("docs-build", "A"),
            "report A: success (Verified=+2 submit): docs-build SUCCESS",
            "",
        ),
        (
            lambda: world.approved("B", by="again"),
            "report B: start (Verified=+0); merge B→z2; launch one for [B] on z2",
            "gate: B",
        ),
    )


def test_w34_needed_change_already_merged():
    world = new_world()
    world.create("A")
    world.change("A", status="MERGED", is_open=False)
    world.create("B", on="A")
    world.create("C", "demo/lib", needs="A")
    play(
        world,
        (lambda: world.approved("B"), "report B: start (Verified=+0); merge B→z1; launch one for [B] on z1", "gate: B"),
        (
            lambda: world.approved("C"),
            "report C: start (Verified=+0); merge C→z2; launch lib-unit for [C] on z2; launch integ for [C] on z2",
            "gate: C | gate: B",
        ),
    )


def test_w35_parent_at_an_old_patch_set():
    world = new_world()
    world.create("A")
    world.create("B", on="A")
    world.add_patch_set("A")
    play(
        world,
        (lambda: world.approved("B"), "", ""),
        (
            lambda: world.comment("B", "recheck"),
            "merge A→z1; merge A→z1 B→z2; launch one for [A B] on z2",
            "check: A (dead), B (on A)",
        ),
    )


def test_w36_a_needed_change_fails_in_the_middle():
    world = new_world()
    for name, needs in (("A", ""), ("B", ""), ("C", "B"), ("D", "")):
        world.create(name, needs=needs)
    for name in "ABD":
        world.approved(name)
    play(
        world,
        (lambda: world.begins("one", "C"), "", "gate: A, B (on A), C (on B), D (on C)"),
        (
            lambda: world.ends("one", "B", "FAILURE"),
            "stop one of C; cancel one of D; merge A→z1 D→z5; launch one for [A D] on z5",
            "gate: A, B (on A, failing), C (on B, failing), D (on A)",
        ),
        (lambda: world.ends("one", "D"), "", "gate: A, B (on A, failing), C (on B, failing), D (on A)"),
        (
            lambda: world.ends("one", "A"),
            (
                "report A: success (Verified=+2 submit): one SUCCESS; report B: failure (Verified=-2): one FAILURE; "
                "report C: needed change failed (Verified=-2); report D: success (Verified=+2 submit): one SUCCESS"
            ),
            "",
        ),
    )


def test_w37_four_in_a_row_by_parents_and_footers():
    world = new_world()
    world.create("A")
    world.create("B", on="A")
    world.create("C", on="B")
    world.create("D", "demo/pair", needs="C")
    play(
        world,
        (
            lambda: world.approved("B"),
            (
                "report A: start (Verified=+0); report B: start (Verified=+0); report C: start (Verified=+0); "
                "report D: start (Verified=+0); merge A→z1; merge A→z1 B→z2; merge A→z1 B→z2 C→z3; "
                "merge A→z1 B→z2 C→z3 D→z4; launch one for [A] on z1; launch one for [A B] on z2; "
                "launch one for [A B C] on z3; launch one for [A B C D] on z4; launch two for [A B C D] on z4"
            ),
            "gate: A, B (on A), C (on B), D (on C)",
        ),
    )


def test_w72_each_change_of_a_diamond_is_asked_for_once():
    world = new_world()
    names = "ABCDEFGHIJKLMNO"
    layers = [names[0], *(names[i : i + 2] for i in range(1, 15, 2))]
    for below, layer in zip(["", *layers], layers, strict=False):
        for name in layer:
            world.create(name, needs=below)
    before = len(world.all_effects)
    world.comment("A", "nice")
    asked = [each for each in world.all_effects[before:] if isinstance(each, QueryChange | SearchChanges)]
    records = [each.number for each in asked if isinstance(each, QueryChange)]
    searches = [each.search for each in asked if isinstance(each, SearchChanges)]
    assert len(set(records)) == len(records)
    assert len(set(searches)) == len(searches)
    assert len(asked) <= 45


def test_a_needed_change_that_is_not_ready_keeps_the_other_out_and_the_reason_is_kept():
    world = new_world()
    world.create("A")
    world.change("A", submit_records=(NOT_READY,))
    world.create("B", on="A")
    world.approved("B")
    told = [each.text for each in world.decisions if each.pipeline == "gate"]
    assert told[-1] == "Gerrit would not submit 1,1 now: label Code-Review: NEED"


def test_a_new_patch_set_of_a_needed_change_fails_the_one_that_needs_it_in_check():
    world = new_world()
    world.create("A", "demo/lib")
    world.create("B", needs="A")
    world.uploaded("B")
    play(
        world,
        (
            lambda: world.new_patch_set("A"),
            (
                "cancel one of B; report B: needed change failed (Verified=-1); merge A2→z3; "
                "launch lib-unit for [A2] on z3"
            ),
            "check: A2",
        ),
    )


def test_who_waits_for_a_failing_need_goes_on_when_that_gets_a_new_chance():
    gate = "    manager: DependentPipelineManager\n"
    world = new_world(layout=layout_with((gate, f"{gate}    window: 3\n")), refuses_to_submit={"A"})
    earlier(world, "A", "B", "C")
    world.create("D", needs="B")
    world.approved("D")
    play(
        world,
        (
            lambda: world.ends("one", "B", "FAILURE"),
            "cancel one of C; merge A→z1 C→z4; launch one for [A C] on z4",
            "gate: A, B (on A, failing), C (on A), D (on B, failing, outside)",
        ),
        (
            lambda: world.ends("one", "A"),
            (
                "report A: success (Verified=+2 submit): one SUCCESS; cancel one of C; "
                "merge B→z5; merge B→z5 C→z6; merge B→z5 C→z6 D→z7; "
                "launch one for [B] on z5; launch one for [B C] on z6; launch one for [B C D] on z7"
            ),
            "gate: B, C (on B), D (on C)",
        ),
    )


def test_a_series_merges_one_after_another_though_gerrit_has_not_told_of_the_first_yet():
    world = new_world()
    world.create("A")
    world.create("B", on="A")
    world.create("C", "demo/pair", needs="B")
    world.approved("B")
    play(
        world,
        (lambda: world.ends("one", "A"), "report A: success (Verified=+2 submit): one SUCCESS", "gate: B, C (on B)"),
        (lambda: world.ends("one", "B"), "report B: success (Verified=+2 submit): one SUCCESS", "gate: C"),
        (lambda: world.ends("one", "C"), "", "gate: C"),
        (
            lambda: world.ends("two", "C"),
            "report C: success (Verified=+2 submit): one SUCCESS, two SUCCESS",
            "",
        ),
    )


@pytest.mark.parametrize("needs", ["A", "BA"])
def test_what_is_inside_goes_on_when_the_refresh_of_another_shows_that_it_needs_itself(needs):
    """B's own relations have no circle: the search for those that name B finds A."""
    world = new_world()
    world.create("A", "demo/one")
    world.create("B", "demo/one", ready=False)
    world.approved("A")
    footers = "".join(f"Depends-On: {change_id_of(each)}\n" for each in needs + "B")
    message = f"Change something\n\n{footers}Change-Id: {change_id_of('A')}\n"
    world.change("A", commit_message=message)
    play(
        world,
        (lambda: world.comment("B", "nice"), "", "gate: A"),
        (lambda: world.ends("one", "A"), "report A: success (Verified=+2 submit): one SUCCESS", ""),
    )
