"""Hands out what waited for its turn, at the end of a step: nothing goes out that the step itself made useless."""

from __future__ import annotations

from ci_gate.scheduler import building, merging, mutexes
from ci_gate.scheduler.state import MergeState
from ci_gate.scheduler.step import Step


def release(step: Step) -> bool:
    """Was there anything to hand out? Items that have to be looked at again are on the agenda afterwards."""
    turns, state = step.state.turns, step.state
    merges = list(turns.next_merges(lambda name: _is_merge_wanted(step, name)))
    for name in merges:
        merging.send(step, state.items_by_build_set[name])
    builds = list(turns.next_builds(lambda uuid: _is_build_wanted(step, uuid)))
    for uuid in builds:
        building.hand_out(step, uuid)
    return bool(merges or builds or step.agenda)


def ask_again(step: Step) -> None:
    """There is a new layout: who waits for a turn asks for one again, by its rules."""
    merges, builds = step.state.turns.forget_waiting()
    step.state.turns.use(step.state.layout)
    for name in merges:
        if name in step.state.items_by_build_set:
            _take_merge_back(step, name)
    for uuid in builds:
        if uuid in step.state.builds_by_uuid:
            _take_build_back(step, uuid)


def _is_merge_wanted(step: Step, name: str) -> bool:
    """Of an item that is outside the window now it is asked for again later."""
    item = step.state.items_by_build_set.get(name)
    if item is not None and not item.active:
        _take_merge_back(step, name)
        return False
    return item is not None


def _is_build_wanted(step: Step, uuid: str) -> bool:
    """Of an item that is outside the window now it is launched again later."""
    item, _ = step.state.builds_by_uuid.get(uuid, (None, None))
    if item is not None and not item.active:
        _take_build_back(step, uuid)
        return False
    return item is not None


def _take_merge_back(step: Step, name: str) -> None:
    item = step.state.items_by_build_set[name]
    item.build_set.merge_state = MergeState.NEW
    item.build_set.merge_tries -= 1
    step.touch(item)


def _take_build_back(step: Step, uuid: str) -> None:
    item, build = step.state.builds_by_uuid.pop(uuid)
    del item.build_set.builds[build.job]
    item.build_set.launches[build.job] -= 1
    mutexes.release(step, item, build.job)
    step.touch(item)
