"""One look at one item: what can be done for it now? (scheduler.md 7.2)"""

from __future__ import annotations

from ci_gate.model.build import SUCCESS
from ci_gate.model.change import Change, ChangeKey
from ci_gate.scheduler import building, leaving, merging, needs, priorities, refreshing, reporting, windows
from ci_gate.scheduler.effects import VerifySubmit
from ci_gate.scheduler.explain import Code
from ci_gate.scheduler.filters import PROJECT_MERGED
from ci_gate.scheduler.inputs import SubmitVerified
from ci_gate.scheduler.jobs import all_ended, has_failed_job, holds_itself, jobs_of, succeeded
from ci_gate.scheduler.state import ChangeQueue, Item, MergeState
from ci_gate.scheduler.step import Step


def run_agenda(step: Step) -> None:
    """Look at every item whose situation may have changed, until there is none left."""
    while (item := step.agenda.take()) is not None:
        if item.inside and not item.reporting:
            _look_at(step, item)


def _look_at(step: Step, item: Item) -> None:
    """The steps of scheduler.md 7.2. What depends on the order of items is in the order of the agenda."""
    missing = needs.missing(step.state, item)
    if missing is not None:
        leaving.leave_for_need(step, item, missing)
        return
    failing_need = needs.failing(step.state, item)
    if failing_need is not None:
        if not item.build_set.canceled_in_place:
            step.decide(item.subject_key, item.pipeline.name, Code.NEED_FAILS, change=str(failing_need))
        building.cancel_in_place(step, item)
    else:
        _stand_on_what_passes(step, item)
        _work(step, item)
    _note_state(step, item, need_fails=failing_need is not None)
    if not item.live:
        if not item.items_behind:
            leaving.take_out(step, item)
    elif _is_head(item) and all_ended(step.state, item):
        _finish(step, item)


def _is_head(item: Item) -> bool:
    return item.item_ahead is None or not item.item_ahead.live


def _stand_on_what_passes(step: Step, item: Item) -> None:
    """Link the item to the nearest non-failing one in front, and begin anew if that is another than before."""
    if not item.live or item.pipeline.is_supercedent:
        return
    ahead = None if _is_head(item) else item.item_ahead
    nearest = _nearest_passing(item.queue, item)
    stays = ahead is nearest or (ahead is not None and _is_merged(step, ahead))
    begins_anew = stays and building.was_stopped(item.build_set)
    item.build_set.canceled_in_place = False  # what it needs does not fail any more
    if stays and not begins_anew:
        return
    if not stays:
        for follower in list(item.items_behind):
            follower.link(item.item_ahead)
            step.touch(follower)
        item.link(nearest)
    building.reset(step, item)


def _nearest_passing(queue: ChangeQueue, item: Item) -> Item | None:
    index = queue.index(item)
    while index:
        index -= 1
        if queue.items[index].passes:
            return queue.items[index]
    return None


def _is_merged(step: Step, item: Item) -> bool:
    change = step.state.subject(item)
    return isinstance(change, Change) and change.is_merged


def _work(step: Step, item: Item) -> None:
    """Merge and launch, as far as window and holding jobs allow."""
    build_set = item.build_set
    if not item.active or not jobs_of(step.state, item) or not priorities.may_run(step, item):
        return
    if build_set.merge_state is MergeState.NEW:
        merging.prepare(step, item)
        item.view = None
    ahead = item.item_ahead
    held = ahead is not None and ahead.holds
    if build_set.merge_state is MergeState.COMPLETE and not build_set.not_mergeable and not held:
        building.launch_wanted(step, item)


def _note_state(step: Step, item: Item, *, need_fails: bool) -> None:
    """What others see of the item. If that has changed, they have to be looked at."""
    build_set, state = item.build_set, step.state
    failed = has_failed_job(state, item)
    reasons = building.failing_reasons(build_set, has_failed_job=failed, need_fails=need_fails)
    if reasons != build_set.failing_reasons:
        if bool(reasons) != bool(build_set.failing_reasons):
            step.touch_needers(item)
        build_set.failing_reasons, item.view = reasons, None
    passes = item.live and not reasons
    if passes != item.passes:
        item.passes = passes
        leaving.touch_from(step, item.queue, item.queue.index(item) + 1)
    ahead_holds = item.item_ahead is not None and item.item_ahead.holds
    holds = item.live and (ahead_holds or holds_itself(state, item))
    if holds != item.holds:
        item.holds = holds
        for behind in item.items_behind:
            step.touch(behind)


# --- the end of an item ---


def _finish(step: Step, item: Item) -> None:
    building.cancel_builds_left(step, item)
    jobs, state = jobs_of(step.state, item), step.state
    if not jobs:
        step.decide(item.subject_key, item.pipeline.name, Code.NO_JOBS)
    if not jobs and not _reported_without_jobs(step, item):
        leaving.depart_unmerged(step, item)
        return
    passed = succeeded(state, item)
    item.view = None
    reporting.report_end(step, item, succeeded=passed)
    if item.pipeline.is_dependent and (passed or _is_merged(step, item)):
        settled(step, item)
    else:
        leaving.depart_unmerged(step, item)


def _reported_without_jobs(step: Step, item: Item) -> bool:
    project = step.state.layout.projects.get(step.state.subject(item).project)
    registered = project is not None and item.pipeline.name in project.trees
    return registered and step.state.options.report_without_jobs


def settled(step: Step, item: Item) -> None:
    """If all reports of an item have arrived it goes, or Gerrit is asked whether it was merged (scheduler.md 11.3)."""
    if item.open_reports or not item.reporting or item.number in step.state.verifying:
        return
    if not item.inside:
        leaving.leave_if_delivered(step, item)
        return
    change = step.state.subject(item)
    if not isinstance(change, Change):
        _did_not_merge(step, item, "it is no change")
        return
    if not change.is_merged and (item.undelivered or not item.build_set.reported_to_gerrit):
        _did_not_merge(step, item, item.undelivered or "nobody reports to Gerrit")
        return
    step.state.verifying[item.number] = item
    key, answer = change.key, item.build_set.answer
    built = answer.commit if answer else None
    step.emit(VerifySubmit(item.number, key.connection, key.number, change.project, change.branch, built))


def verified(step: Step, answer: SubmitVerified) -> None:
    """Gerrit and the branch have told whether a reported change was merged.

    One that somebody merged by hand although it failed counts as merged for those behind it, if what its branch has now
    is what they stand on.
    """
    item = step.state.verifying.pop(answer.item, None)
    if item is None:
        step.decide(answer.item, None, Code.UNKNOWN_ANSWER, what="the verification of a submit")
        return
    if not answer.merged:
        _did_not_merge(step, item, answer.reason)
        return
    if item.build_set.result != SUCCESS and not answer.as_built:
        _did_not_merge(step, item, "it was merged by hand, and its branch has something else than what was tested")
        return
    step.decide(item.subject_key, item.pipeline.name, Code.SUBMITTED)
    if isinstance(item.subject_key, ChangeKey):
        for key in step.state.records.note_merged(item.subject_key):
            refreshing.touch(step, key)
    if step.state.wants(PROJECT_MERGED):
        step.merged_projects.append((item.subject_key.connection, step.state.subject(item).project))
    leaving.take_out(step, item)
    windows.grow(step, item.pipeline, item.queue)


def _did_not_merge(step: Step, item: Item, reason: str) -> None:
    step.decide(item.subject_key, item.pipeline.name, Code.NOT_SUBMITTED, reason=reason)
    if item.build_set.result == SUCCESS:
        reporting.report_not_submitted(step, item, reason)
    leaving.depart_unmerged(step, item)
