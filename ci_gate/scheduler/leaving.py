"""How items leave their queue, and what that means for those that stay (scheduler.md 6 and 7.2)."""

from __future__ import annotations

from ci_gate.model.change import Change
from ci_gate.model.event import Event
from ci_gate.model.measures import ItemLeft
from ci_gate.scheduler import building, past, priorities, reporting, windows
from ci_gate.scheduler.descriptions import describe_builds
from ci_gate.scheduler.explain import Code, Verdict
from ci_gate.scheduler.refreshing import touch
from ci_gate.scheduler.state import ChangeQueue, Item, PipelineState
from ci_gate.scheduler.step import Step


def drop_outdated(step: Step, pipeline: PipelineState, event: Event, subject: Change) -> None:
    """A new patch set or an abandoned change takes the old item along, whatever the triggers say."""
    if event.type == "patchset-created" and pipeline.pipeline.dequeue_on_new_patchset:
        key = subject.key
        patch_sets = step.state.records.of_change(key.connection, key.number)
        inside = (pipeline.live.get(each) for each in patch_sets if key.updates(each))
        older = min(
            (item for item in inside if item and not item.reporting), key=lambda item: item.number, default=None
        )
        if older is not None:
            step.decide(older.subject_key, pipeline.name, Code.SUPERSEDED, patchset=subject.patchset)
            withdraw(step, older)
    elif event.type == "change-abandoned":
        abandoned = pipeline.live.get(subject.key)
        if abandoned is not None and not abandoned.reporting:
            step.decide(abandoned.subject_key, pipeline.name, Code.ABANDONED)
            withdraw(step, abandoned)


def drop_deleted(step: Step, event: Event) -> None:
    """A deleted change takes all its patch sets along: nobody can report on them any more (gerrit-wire.md 3.3)."""
    records = step.state.records
    keys = tuple(records.of_change(event.connection, event.number or ""))
    for pipeline in step.state.pipelines.values():
        for item in [found for key in keys if (found := pipeline.live.get(key)) is not None and not found.reporting]:
            step.decide(item.subject_key, pipeline.name, Code.DELETED)
            withdraw(step, item)
    for key in records.note_closed(keys):
        touch(step, key)


def withdraw(step: Step, item: Item) -> None:
    """Take an item out with its builds; nothing is reported. Those behind it are tested anew."""
    building.cancel_builds(step, item)
    past.note_withdrawn(step, item)
    describe_builds(step, item)
    reset_behind(step, item)
    reporting.forget_start_report(step, item)
    take_out(step, item)


def leave_for_need(step: Step, item: Item, why: Verdict) -> None:
    """What it needs can no longer be provided: a failure, told as such (scheduler.md 6.4)."""
    step.decide_verdict(item.subject_key, item.pipeline.name, why)
    building.cancel_builds(step, item)
    describe_builds(step, item)  # the report knows none of them any more
    reset_behind(step, item)
    building.skip_all(step, item)
    if item.live:
        reporting.report_need_failed(step, item)
    depart_unmerged(step, item)


def depart_unmerged(step: Step, item: Item) -> None:
    """The item's fate is decided, and it is not to be merged: nobody waits for the delivery of its report."""
    if item.pipeline.is_dependent and item.live:
        reset_behind(step, item)
        windows.shrink(step, item.pipeline, item.queue)
    take_out(step, item)


def reset_behind(step: Step, item: Item) -> None:
    for each in building.with_all_behind(item)[1:]:
        building.reset(step, each)


def take_out(step: Step, item: Item) -> None:
    """The item is no member of its queue any more; those behind it stand on the item ahead of it."""
    queue, pipeline = item.queue, item.pipeline
    index = queue.index(item)
    ahead = item.item_ahead
    for behind in list(item.items_behind):
        behind.link(ahead)
        step.touch(behind)
    item.link(None)
    del queue.items[index]
    del queue.by_key[item.subject_key]
    if pipeline.live.get(item.subject_key) is item:
        del pipeline.live[item.subject_key]
    item.inside = False
    if item.active:
        queue.active -= 1
    if item.passes:
        touch_from(step, queue, index)
    step.touch_needers(item)
    if ahead is not None and not ahead.live:
        step.touch(ahead)
    building.forget(step, item)
    priorities.make_room(step, item)
    _stop_staying(step, item)
    windows.settle(step, queue)
    queue.departing[item] = None
    leave_if_delivered(step, item)


def _stop_staying(step: Step, item: Item) -> None:
    """With its last item here, a project that a reload left in this queue goes to its own."""
    project = step.state.subject(item).project
    if item.pipeline.staying.get(project) is not item.queue:
        return
    if not any(step.state.subject(each).project == project for each in item.queue.items):
        del item.pipeline.staying[project]


def touch_from(step: Step, queue: ChangeQueue, index: int) -> None:
    """The nearest non-failing item has changed for those from here on, up to the first that is one itself."""
    for each in queue.items[index:]:
        step.touch(each)
        if each.passes:
            return


def leave_if_delivered(step: Step, item: Item) -> None:
    """Forget an item that has left, once its report is settled."""
    queue = item.queue
    if item.inside or item.open_reports or item not in queue.departing:
        return
    del queue.departing[item]
    project = step.state.subject(item).project
    step.count(ItemLeft(item.pipeline.name, project, step.at - item.enqueued_at))
    step.state.records.release(item.subject_key, item)
    item.pipeline.drop_if_empty(queue)
