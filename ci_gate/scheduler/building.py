"""Builds: launching, results, cancelling, fresh build sets (scheduler.md 8 to 10)."""

from __future__ import annotations

from ci_gate.model.build import SUCCESS, BuildEnd, BuildRequest, BuildUpdate
from ci_gate.model.change import Change
from ci_gate.model.layout import Job
from ci_gate.model.measures import BuildFinished
from ci_gate.scheduler import mutexes, past
from ci_gate.scheduler.descriptions import describe_builds
from ci_gate.scheduler.effects import CancelBuild, LaunchBuild, RecordRunTime
from ci_gate.scheduler.explain import Code
from ci_gate.scheduler.jobs import all_names, below, tree_of, wanted_now
from ci_gate.scheduler.parameters import ParameterError, as_texts, build_parameters
from ci_gate.scheduler.state import Build, BuildSet, Item
from ci_gate.scheduler.step import Step
from ci_gate.scheduler.views import item_view

NOOP = "noop"
SKIPPED = "SKIPPED"
EXCEPTION = "EXCEPTION"
RETRY_LIMIT = "RETRY_LIMIT"
CANCELED = "CANCELED"
NOT_REGISTERED = "NOT_REGISTERED"


# --- launching -------------------------------------------------------------------------------------------------


def launch_wanted(step: Step, item: Item) -> None:
    """Launch every job that can be launched now, in tree order. A ``noop`` frees its children at once."""
    while True:
        wanted = list(wanted_now(step.state, item))
        launched = [_launch_if_free(step, item, job) for job in wanted if job.name not in item.build_set.builds]
        ended_at_once = [build for build in launched if build is not None and build.result is not None]
        if not any(build.succeeded for build in ended_at_once):
            return


def _launch_if_free(step: Step, item: Item, job: Job) -> Build | None:
    if job.mutex is not None and not mutexes.take(step, item, job, job.mutex):
        return None
    build = _launch(step, item, job)
    item.view = None
    return build


def _launch(step: Step, item: Item, job: Job) -> Build:
    build_set = item.build_set
    launches = build_set.launches.get(job.name, 0)
    if launches >= max(job.attempts, 1):
        return _end_at_once(step, item, Build(None, job.name), RETRY_LIMIT)
    uuid = step.state.identifiers.take()
    build = Build(uuid, job.name)
    parameters = build_parameters(step.state, item, job, uuid)
    if job.parameter_function is not None:
        answer = step.oracle.edit_parameters(item_view(step.state, item), job, parameters)
        if answer.error is not None:
            return _end_at_once(step, item, build, EXCEPTION, _blame(job, answer.error))
        parameters = answer.parameters
    try:
        build.parameters = as_texts(parameters)
    except ParameterError as problem:
        return _end_at_once(step, item, build, EXCEPTION, _blame(job, str(problem)))
    if job.name == NOOP:
        return _end_at_once(step, item, build, SUCCESS)
    build_set.builds[job.name] = build
    build_set.launches[job.name] = launches + 1
    step.state.builds_by_uuid[uuid] = (item, build)
    request = _request(item, build, uuid)
    if step.state.turns.ask_to_launch(request.function, request.precedence, item.value, uuid):
        hand_out(step, uuid)
    else:
        step.decide(item.subject_key, item.pipeline.name, Code.WAITS_FOR_TURN, job=job.name)
    return build


def hand_out(step: Step, uuid: str) -> None:
    """Now the build goes to the workers."""
    item, build = step.state.builds_by_uuid[uuid]
    build.launched_at, item.view = step.at, None
    step.decide(item.subject_key, item.pipeline.name, Code.LAUNCHED, job=build.job, uuid=uuid)
    step.emit(LaunchBuild(_request(item, build, uuid)))


def _request(item: Item, build: Build, uuid: str) -> BuildRequest:
    node = build.parameters.get("ZUUL_NODE")
    return BuildRequest(uuid, build.job, build.parameters, item.pipeline.pipeline.precedence, node)


def _no_longer_waits(step: Step, item: Item, build: Build, uuid: str) -> None:
    """A worker has the build, or it needs none any more: others of its function may have waited for that."""
    step.state.turns.begun(_request(item, build, uuid).function, uuid)


def _blame(job: Job, error: str) -> str:
    return f"parameter function {job.parameter_function}: {error}"


def _end_at_once(step: Step, item: Item, build: Build, result: str, reason: str = "") -> Build:
    """A job whose result the service itself knows: nothing is sent to any worker."""
    build.launched_at = build.ended_at = step.at
    item.build_set.builds[build.job] = build
    _set_result(step, item, build, result, reason)
    return build


def _skip(step: Step, item: Item, job: str) -> None:
    """The job will not run. It may be running, below another parent: then that build is not wanted any more."""
    running = item.build_set.builds.get(job)
    if running is not None:
        _cancel(step, item, running)
    item.build_set.builds[job] = Build(None, job, result=SKIPPED, launched_at=step.at, ended_at=step.at)


def skip_all(step: Step, item: Item) -> None:
    """None of the jobs will run, nor those of the tree that do not apply."""
    for job in all_names(tree_of(step.state, item)):
        _skip(step, item, job)


def skip_below(step: Step, item: Item, build: Build) -> None:
    """What is below a job that did not succeed will not run."""
    if build.result is not None and not build.succeeded:
        for child in below(tree_of(step.state, item), build.job):
            _skip(step, item, child)


# --- what workers say --------------------------------------------------------------------------------------------


def build_updated(step: Step, update: BuildUpdate) -> None:
    item, build = step.state.builds_by_uuid.get(update.uuid, (None, None))
    if item is None or build is None:
        return  # a build that was cancelled or replaced may go on talking
    _take_in(step, build, update)
    if build.started_at is not None:
        _no_longer_waits(step, item, build, update.uuid)
    step.touch(item)


def _take_in(step: Step, build: Build, update: BuildUpdate) -> None:
    """What the worker said last counts; what it did not say stays."""
    if update.started and (build.started_at is None or (update.number and update.number != build.number)):
        build.started_at = _no_later(update.started_at, step)
    build.number = update.number if update.number is not None else build.number
    build.manager = update.manager or build.manager
    build.url = update.url or build.url
    build.worker = update.worker or build.worker
    build.node_name = update.node_name or build.node_name
    build.node_labels = update.node_labels or build.node_labels
    build.estimate_s = update.estimate_s if update.estimate_s is not None else build.estimate_s


def _no_later(told: float | None, step: Step) -> float:
    """Another machine's clock may be ahead of ours."""
    return step.at if told is None else min(told, step.at)


def build_ended(step: Step, end: BuildEnd) -> None:
    """A result counts once, and only for a build that is still wanted (scheduler.md 9.3)."""
    item, build = step.state.builds_by_uuid.pop(end.uuid, (None, None))
    if item is None or build is None:
        step.decide(end.uuid, None, Code.UNKNOWN_ANSWER, what="a build")
        return
    _no_longer_waits(step, item, build, end.uuid)
    if end.last is not None:
        _take_in(step, build, end.last)
    if end.result:
        build.ended_at = _no_later(end.ended_at, step)
        _set_result(step, item, build, end.result, end.reason)
        if build.started_at is not None:
            run_time = max(build.ended_at - build.started_at, 0.0)  # the clock may have been set back
            step.emit(RecordRunTime(build.job, run_time, build.succeeded))
    else:
        _forget_lost(step, item, build, end)
    if end.result != NOT_REGISTERED:
        step.count(_finished(step, item, build, end.result))
    step.touch(item)


def _finished(step: Step, item: Item, build: Build, result: str | None) -> BuildFinished:
    labels = tuple(each for each in build.node_labels if each != build.node_name)
    if build.started_at is None:
        return BuildFinished(item.pipeline.name, build.job, result or None, labels=labels)
    waited = build.started_at - (build.launched_at or build.started_at)
    ran = (build.ended_at or step.at) - build.started_at
    return BuildFinished(item.pipeline.name, build.job, result or None, waited, ran, labels)


def _forget_lost(step: Step, item: Item, build: Build, end: BuildEnd) -> None:
    """No result: the build is forgotten, and launched again by the next look at the item."""
    del item.build_set.builds[build.job]
    if not end.counted:
        item.build_set.launches[build.job] -= 1
    mutexes.release(step, item, build.job)
    step.decide(item.subject_key, item.pipeline.name, Code.BUILD_LOST, job=build.job, reason=end.reason)


def _set_result(step: Step, item: Item, build: Build, result: str, reason: str = "") -> None:
    build.result, build.reason = result, reason
    item.view = None
    mutexes.release(step, item, build.job)
    step.decide(item.subject_key, item.pipeline.name, Code.BUILD_ENDED, job=build.job, result=result)
    skip_below(step, item, build)


# --- cancelling --------------------------------------------------------------------------------------------------


def cancel_builds(step: Step, item: Item) -> None:
    """Cancel what has no result yet, once each, in order of job name (scheduler.md 10)."""
    cancel_builds_left(step, item)
    item.build_set.result = CANCELED


def cancel_builds_left(step: Step, item: Item) -> None:
    """A refreshed record may have taken away jobs that still run when all others have ended."""
    for _, build in sorted(item.build_set.builds.items()):
        _cancel(step, item, build)


def reset(step: Step, item: Item) -> None:
    """A fresh build set, since the item is to be tested on another base. Nothing asked for yet: it stays."""
    former = item.build_set
    if former.name is None or not isinstance(step.state.subject(item), Change):
        former.canceled_in_place, former.result = False, None
        return
    cancel_builds(step, item)
    past.note_attempt(step, item)
    item.former = describe_builds(step, item) or item.former
    del step.state.items_by_build_set[former.name]
    item.build_set = BuildSet()
    mutexes.forget(step, item)
    step.touch(item)
    if former.failing_reasons:
        step.touch_needers(item)


def cancel_in_place(step: Step, item: Item) -> None:
    """The item and those that stand on it stop: their results stay to be seen as CANCELED."""
    if item.build_set.canceled_in_place:
        return
    for each in with_all_behind(item):
        cancel_builds(step, each)
        step.touch(each)
    item.build_set.canceled_in_place = True


def was_stopped(build_set: BuildSet) -> bool:
    """Did builds come to nothing because a change was failing that it needs, or that what it stands on needs?"""
    return any(each.canceled for each in build_set.builds.values())


def with_all_behind(item: Item) -> list[Item]:
    """The item and all that stand on it, front to back. Without recursion: queues may have thousands."""
    found, waiting = [], [item]
    while waiting:
        each = waiting.pop()
        found.append(each)
        waiting.extend(reversed(each.items_behind))
    return found


def forget_job(step: Step, item: Item, job: str) -> None:
    """The job is not the item's any more: its build is cancelled, and nothing of it is shown or reported."""
    _cancel(step, item, item.build_set.builds[job])
    del item.build_set.builds[job]


def _cancel(step: Step, item: Item, build: Build) -> None:
    if build.result is not None or build.uuid is None:
        return
    build.result, build.canceled, build.ended_at = CANCELED, True, step.at
    del step.state.builds_by_uuid[build.uuid]
    if build.launched_at is not None:  # else it is still waiting for its turn, here
        step.emit(CancelBuild(build.uuid))
    _no_longer_waits(step, item, build, build.uuid)
    mutexes.release(step, item, build.job)


def forget(step: Step, item: Item) -> None:
    """The item leaves: nothing finds its build set any more. Its builds have ended or are cancelled."""
    state = step.state
    if item.build_set.name is not None:
        state.items_by_build_set.pop(item.build_set.name, None)
    mutexes.forget(step, item)


def failing_reasons(build_set: BuildSet, *, has_failed_job: bool, need_fails: bool) -> tuple[str, ...]:
    """Texts for the status page (outputs.md 1.3)."""
    reasons = ["a needed change is failing"] if need_fails else []
    if build_set.in_conflict:
        reasons.append("it has a merge conflict")
    elif build_set.not_mergeable:
        reasons.append("it cannot be merged for technical reasons")
    elif has_failed_job:
        reasons.append("at least one job failed")
    return tuple(reasons)
