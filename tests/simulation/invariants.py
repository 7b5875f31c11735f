"""What always holds (scheduler.md 20), looked at from outside after every input."""

from __future__ import annotations

from simulated_world import SimulatedWorld

from ci_gate.model.change import Change
from ci_gate.model.merge import MergeOutcome
from ci_gate.scheduler import advance
from ci_gate.scheduler.building import SKIPPED
from ci_gate.scheduler.effects import DescribeBuilds, Effect, LaunchBuild, Merge, RecordHistory, UpdateRepository
from ci_gate.scheduler.explain import Code
from ci_gate.scheduler.inputs import LayoutReplaced
from ci_gate.scheduler.jobs import jobs_of
from ci_gate.scheduler.state import ChangeQueue, Item, PipelineState, State
from ci_gate.scheduler.step import Step

SHRINKING = (
    Code.NO_JOBS,
    Code.NOT_SUBMITTED,
    Code.REPORTED,
    Code.NEED_MISSING,
    Code.NEED_OUTDATED,
    Code.NEED_ELSEWHERE,
)


ENDINGS = {
    Code.REPORTED,
    Code.SILENT,
    Code.NO_JOBS,
    Code.SUPERSEDED,
    Code.OVERTAKEN,
    Code.ABANDONED,
    Code.DEQUEUED,
    Code.PROMOTED,
    Code.REMOVED,
}
"""The rows of scheduler.md 6 and 11, operators and reloads: how an item may end."""


AFTER = "The builds after these"


def check_all(world: SimulatedWorld, effects: list[Effect]) -> None:
    state = world.scheduler._state
    _what_entered_ends_once(world)
    _nobody_leaves_for_a_need_that_was_merged(world)
    _effects_are_of_current_build_sets(world, state, effects)
    _what_came_to_its_end_is_described(effects)
    for decision in world.scheduler.last_decisions:
        if decision.code is Code.REPORTED and ("result", "SUCCESS") in decision.values and decision.pipeline == "gate":
            live = state.pipelines["gate"].live
            (item,) = [each for key, each in live.items() if str(key) == decision.subject]
            _what_is_submitted_was_tested(world, state, item)
    for pipeline in state.pipelines.values():
        _subjects_are_inside_once(pipeline)
        for queue in pipeline.queues:
            _links_are_sound(state, queue)
            _the_window_holds(queue)
            for item in queue.items:
                if pipeline.is_dependent and not item.reporting:
                    _needs_are_in_front(state, item)
    _mutexes_are_held_once(state)
    _a_full_walk_would_change_nothing(world, state)


def _effects_are_of_current_build_sets(world: SimulatedWorld, state: State, effects: list[Effect]) -> None:
    """Nos. 6 and 8."""
    for effect in effects:
        match effect:
            case Merge():
                item = state.items_by_build_set[effect.request.ref]
                assert item.active or _has_shrunk(world), "a merge outside the window"
            case UpdateRepository():
                assert effect.request.name in state.items_by_build_set
            case LaunchBuild() if effect.request.uuid in state.builds_by_uuid:
                item, _ = state.builds_by_uuid[effect.request.uuid]
                build_set = item.build_set
                assert item.live
                assert item.active or _has_shrunk(world), "a launch outside the window"
                assert build_set.answer is not None
                assert build_set.answer.outcome is MergeOutcome.MERGED
                subject = state.subject(item)
                if isinstance(subject, Change):
                    chain = [str(each.key) for each in (*build_set.ahead, subject)]
                    assert effect.request.parameters["ZUUL_CHANGE_IDS"] == " ".join(chain)
                for ahead in item.chain_ahead():
                    waits = ahead.live and not ahead.reporting and _holds(state, ahead)
                    assert not waits, f"a launch behind {ahead.subject_key}, which holds"


def _what_came_to_its_end_is_described(effects: list[Effect]) -> None:
    """gearman-jenkins.md 5: each build that has a number, once as its build set ends and once more as the next does."""
    ended = [each.build_set for each in effects if isinstance(each, RecordHistory)]
    begun = {(build.job, build.number) for each in ended for build in each.builds if build.number is not None}
    described = [each for each in effects if isinstance(each, DescribeBuilds)]
    first, again = ([each for each in described if (AFTER in each.html) is followed] for followed in (False, True))
    names = [(build.job, build.number) for each in first for build in each.builds]
    all_skipped = any(all(build.result == SKIPPED for build in each.builds) for each in ended)
    assert len(names) == len(set(names))
    # What leaves for a need of its has its jobs skipped, and its builds are in no history.
    assert begun <= set(names) if all_skipped else begun == set(names)
    assert len(again) <= len(first)


def _has_shrunk(world: SimulatedWorld) -> bool:
    """Later in the same step."""
    return any(each.code in SHRINKING for each in world.scheduler.last_decisions)


def _what_entered_ends_once(world: SimulatedWorld) -> None:
    """No. 7, while it goes on: nothing ends that is not inside, nothing twice, and nothing enters twice."""
    for each in world.scheduler.last_decisions:
        item = (each.pipeline, each.subject)
        if each.code is Code.ENTERED:
            assert item not in world.inside, f"{item} enters twice"
            world.inside.add(item)
        elif each.code in ENDINGS:
            assert item in world.inside or each.code is Code.REMOVED, f"{item} ends twice: {each.text}"
            world.inside.discard(item)


def _nobody_leaves_for_a_need_that_was_merged(world: SimulatedWorld) -> None:
    """No. 4: what the gate itself has merged is in front of everything.

    A reload may make a pipeline look at needs that it ignored before: those are in front of nothing there.
    """
    if isinstance(world.inputs[-1], LayoutReplaced):
        return
    merged = {change for _, _, change in world.submitted}
    for each in world.scheduler.last_decisions:
        if each.code is Code.NEED_MISSING:
            need = str(dict(each.values)["change"])
            assert need not in merged, f"{each.subject} leaves for {need}, which was merged"


def _holds(state: State, item: Item) -> bool:
    builds = item.build_set.builds
    holding = [job.name for job in jobs_of(state, item) if job.hold_following_changes]
    return any(name not in builds or builds[name].result != "SUCCESS" for name in holding)


def _what_is_submitted_was_tested(world: SimulatedWorld, state: State, item: Item) -> None:
    """No. 3: all voting jobs passed, on exactly what was merged before it since its merge was asked for."""
    build_set, subject = item.build_set, state.subject(item)
    assert isinstance(subject, Change)
    number = subject.number
    for job in jobs_of(state, item):
        assert not job.voting or build_set.builds[job.name].succeeded, f"{job.name} has not passed"
    assert build_set.answer is not None
    assert build_set.answer.outcome is MergeOutcome.MERGED
    for below in build_set.ahead:
        assert world.changes[below.number].status == "MERGED", f"{number} stands on {below.number}, not merged"
    tested_with = {str(each.key) for each in build_set.ahead}
    since = world.submitted[world.submitted_before[build_set.name or ""] :]
    mine = {change for project, branch, change in since if (project, branch) == (subject.project, subject.branch)}
    assert mine <= tested_with, f"{number} was not tested with {mine - tested_with}"


def _subjects_are_inside_once(pipeline: PipelineState) -> None:
    """No. 1."""
    live = [item for queue in pipeline.queues for item in queue.items if item.live]
    assert {item.subject_key: item for item in live} == pipeline.live
    assert len(live) == len(pipeline.live)


def _links_are_sound(state: State, queue: ChangeQueue) -> None:
    """No. 2. Every item is in its place, and stands on the nearest one in front that passes."""
    assert queue.by_key == {item.subject_key: item for item in queue.items}
    passing: Item | None = None
    for index, item in enumerate(queue.items):
        assert item.inside
        assert queue.index(item) == index
        ahead = item.item_ahead
        if ahead is not None:
            assert queue.index(ahead) < index
            assert item in ahead.items_behind
        assert all(behind.item_ahead is item for behind in item.items_behind)
        failing_need = "a needed change is failing" in item.build_set.failing_reasons
        if item.live and item.pipeline.is_dependent and not failing_need and not item.reporting:
            below = state.subject(ahead) if ahead is not None else None
            merged = isinstance(below, Change) and below.is_merged
            assert ahead is passing or merged, f"{item.subject_key} stands on another than the nearest that passes"
        assert item.passes == (item.live and not item.build_set.failing_reasons)
        if item.passes:
            passing = item


def _the_window_holds(queue: ChangeQueue) -> None:
    size = queue.window or len(queue.items)
    for index, item in enumerate(queue.items):
        assert item.active == (index < size)


def _needs_are_in_front(state: State, item: Item) -> None:
    """No. 4."""
    change = state.subject(item)
    for need in change.needs if isinstance(change, Change) else ():
        record = state.records.change(need)
        inside = item.queue.by_key.get(need)
        assert (record is not None and record.is_merged) or (inside is not None and inside.place < item.place)
        if inside is not None and inside.build_set.failing_reasons:
            assert "a needed change is failing" in item.build_set.failing_reasons
            assert all(build.result for build in item.build_set.builds.values()), "builds of what cannot be merged"


def _mutexes_are_held_once(state: State) -> None:
    """No. 5."""
    for name, (holder, job) in state.mutexes.items():
        build = holder.build_set.builds.get(job)
        assert build is not None, f"{name} is held for nothing"
        assert build.result is None, f"{name} is held for a build that has ended"


def _a_full_walk_would_change_nothing(world: SimulatedWorld, state: State) -> None:
    """Looking only at what was touched decides what looking at everything would (scheduler.md 2)."""
    scheduler = world.scheduler
    step = Step(world.at, state, scheduler._oracle, scheduler.decisions, scheduler._outbound)
    items = [item for each in state.pipelines.values() for queue in each.queues for item in queue.items]
    before = [_picture(item) for item in items]
    for item in items:
        step.agenda.add(item)
    advance.run_agenda(step)
    assert not step.effects, f"a full walk would have done more: {step.effects}"
    assert before == [_picture(item) for item in items], "a full walk would have seen something new"


def _picture(item: Item) -> tuple[object, ...]:
    """What a look at an item may change, and others depend on."""
    mine = item.build_set
    results = tuple((name, build.result) for name, build in mine.builds.items())
    seen = (item.active, item.passes, item.holds, bool(mine.failing_reasons), mine.merge_state, results)
    return (item, item.inside, item.item_ahead, mine, *seen)
