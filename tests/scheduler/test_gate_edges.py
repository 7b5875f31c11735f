"""What no worked example shows: histories in which the scheduler once decided otherwise than the full walk would."""

from __future__ import annotations

from gate_world import new_world, play


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
