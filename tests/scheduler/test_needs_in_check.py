"""Changes that are only merged below the one that needs them (scheduler.md 5.2)."""

from __future__ import annotations

import pytest
from gate_world import layout_with, new_world, play
from scripted_world import vote

from ci_gate.model.change import Account

BOSS = Account("boss", "boss@example.org", "boss")


def with_requirements(requirements: str):
    edit = "trigger:\n      gerrit:\n        - event: [patchset-created"
    return layout_with((edit, f"require: {{{requirements}}}\n    {edit}"))


@pytest.mark.parametrize(
    ("requirements", "below"),
    [
        ("open: true", {"status": "ABANDONED", "is_open": False}),
        ("current-patchset: true", {}),
        ("status: [NEW]", {"status": "ABANDONED", "is_open": False}),
        ("approval: [{username: '^boss$', Code-Review: [1, 2]}]", {}),
    ],
)
def test_what_the_pipeline_requires_is_not_asked_of_needed_changes(requirements, below):
    """Not even of those further down: two parents, of which only the child is what the pipeline wants."""
    world = new_world(layout=with_requirements(requirements))
    world.create("A")
    world.create("B", on="A")
    world.create("C", on="B")
    for name in "AB":
        world.add_patch_set(name)
        world.change(name, **below)
    world.change("C", votes=(vote("Code-Review", 1, BOSS, world.at),))
    play(
        world,
        (
            lambda: world.uploaded("C"),
            "merge A→z1; merge A→z1 B→z2; merge A→z1 B→z2 C→z3; launch one for [A B C] on z3",
            "check: A (dead), B (on A, dead), C (on B)",
        ),
    )
