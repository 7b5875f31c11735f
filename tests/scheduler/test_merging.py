"""What mergers are asked for (scheduler.md 8): one link of a chain, and what they need to know besides."""

from __future__ import annotations

from gate_world import new_world

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
