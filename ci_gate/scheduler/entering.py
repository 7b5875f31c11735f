"""How subjects come into pipelines and leave them early (scheduler.md 5 and 6)."""

from __future__ import annotations

from ci_gate.model.change import Change, Subject
from ci_gate.model.event import Event
from ci_gate.scheduler import building, reporting
from ci_gate.scheduler.explain import Code
from ci_gate.scheduler.filters import check_requirements
from ci_gate.scheduler.state import ChangeQueue, Item, PipelineState
from ci_gate.scheduler.step import Step


def drop_outdated(step: Step, pipeline: PipelineState, event: Event, subject: Change) -> None:
    """A new patch set or an abandoned change takes the old item along, whatever the triggers say."""
    if event.type == "patchset-created" and pipeline.pipeline.dequeue_on_new_patchset:
        key = subject.key
        patch_sets = step.state.records.of_change(key.connection, key.number)
        inside = (pipeline.live.get(each) for each in patch_sets if key.updates(each))
        older = min((item for item in inside if item is not None), key=lambda item: item.number, default=None)
        if older is not None:
            step.decide(older.subject_key, pipeline.name, Code.SUPERSEDED, patchset=subject.patchset)
            withdraw(step, older)
    elif event.type == "change-abandoned":
        abandoned = pipeline.live.get(subject.key)
        if abandoned is not None:
            step.decide(abandoned.subject_key, pipeline.name, Code.ABANDONED)
            withdraw(step, abandoned)


def enter(step: Step, pipeline: PipelineState, subject: Subject) -> None:
    """Let an accepted subject in, or record why not. Independent pipelines: a queue of its own for each."""
    if subject.key in pipeline.live:
        step.decide(subject.key, pipeline.name, Code.ALREADY_IN)
        return
    refusal = check_requirements(
        pipeline.pipeline,
        subject,
        step.at,
        reject_requires_votes=step.state.options.reject_requires_votes,
    )
    if refusal is not None:
        step.decide_verdict(subject.key, pipeline.name, refusal)
        return
    queue = ChangeQueue(subject.project)
    pipeline.queues.append(queue)
    item = _append(step, pipeline, queue, subject)
    step.decide(subject.key, pipeline.name, Code.ENTERED)
    reporting.report_start(step, item)
    step.touch(item)


def _append(step: Step, pipeline: PipelineState, queue: ChangeQueue, subject: Subject) -> Item:
    state = step.state
    state.items_entered += 1
    item = Item(state.items_entered, subject.key, pipeline, queue, enqueued_at=step.at)
    state.records.use(subject, item)
    if queue.items:
        item.item_ahead = queue.items[-1]
        item.item_ahead.items_behind.append(item)
    queue.items.append(item)
    pipeline.live[subject.key] = item
    return item


def withdraw(step: Step, item: Item) -> None:
    """Take an item out with its builds; nothing is reported."""
    building.cancel_builds(step, item)
    reporting.forget_start_report(step, item)
    leave(step, item)


def leave(step: Step, item: Item) -> None:
    """The item goes; those behind it are linked to the item ahead of it."""
    state, pipeline = step.state, item.pipeline
    if pipeline.live.get(item.subject_key) is item:
        del pipeline.live[item.subject_key]
    for behind in item.items_behind:
        behind.item_ahead = item.item_ahead
        step.touch(behind)
    if item.item_ahead is not None:
        item.item_ahead.items_behind.remove(item)
        item.item_ahead.items_behind.extend(item.items_behind)
        step.touch(item.item_ahead)
    item.queue.items.remove(item)
    if not item.queue.items:
        pipeline.queues.remove(item.queue)
    building.forget(step, item)
    state.records.release(item.subject_key, item)
    item.gone = True
