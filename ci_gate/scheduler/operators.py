"""Operators' commands: checked, carried out, and answered with what was done or why nothing was (scheduler.md 14)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from ci_gate.model.change import RefKey, RefUpdate, SubjectKey, whole_number
from ci_gate.model.commands import Dequeue, Enqueue, EnqueueRef, OperatorCommand, Promote
from ci_gate.model.event import Event
from ci_gate.model.operations import CommandAnswer
from ci_gate.scheduler import building, entering, intake, leaving
from ci_gate.scheduler.effects import AnswerCommand
from ci_gate.scheduler.enqueuing import enter_by_hand, invalid
from ci_gate.scheduler.entering import Entry
from ci_gate.scheduler.explain import Code
from ci_gate.scheduler.state import ChangeQueue, Item, PipelineState, State
from ci_gate.scheduler.step import Step
from ci_gate.scheduler.waiting import Intake

ENQUEUE = "enqueue"


def carry_out(step: Step, known: Intake, ticket: int, command: OperatorCommand) -> None:
    answer: CommandAnswer | None
    match command:
        case Enqueue():
            answer = _begin_enqueue(step, known, ticket, command)
        case EnqueueRef():
            answer = _enqueue_ref(step, command)
        case Dequeue():
            answer = _dequeue(step, command)
        case Promote():
            answer = _promote(step, command)
        case _:
            assert_never(command)
    if answer is not None:
        step.emit(AnswerCommand(ticket, answer))


def _wrong_names(state: State, command: Enqueue | EnqueueRef) -> list[str]:
    """All of them at once, in the older service's words (outputs.md 7.1)."""
    wrong = []
    if command.trigger not in _triggers(state):
        wrong.append(f"Invalid trigger: {command.trigger}")
    if command.project not in state.layout.projects:
        wrong.append(f"Invalid project: {command.project}")
    if command.pipeline not in state.pipelines:
        wrong.append(f"Invalid pipeline: {command.pipeline}")
    return wrong


def _triggers(state: State) -> set[str]:
    """Those in use in the layout, connections and others."""
    pipelines = [each.pipeline for each in state.pipelines.values()]
    used = {each.trigger for pipeline in pipelines for each in pipeline.triggers}
    return used | {each.source for each in pipelines}


def _numbers(change: str) -> tuple[str, str] | None:
    """Number and patch set without leading zeros, as changes are known by (scheduler.md 1.1); None of other texts."""
    number, patchset = (whole_number(each) for each in change.partition(",")[::2])
    return None if number is None or patchset is None else (str(number), str(patchset))


def _key_text(change: str) -> str:
    """How the key of the change that an operator names is written."""
    return ",".join(_numbers(change) or (change,))


# --- enqueue ---


def _begin_enqueue(step: Step, known: Intake, ticket: int, command: Enqueue) -> CommandAnswer | None:
    """The change is looked at first, like for an event; ``enqueuing.py`` goes on when its record is there."""
    wrong = _wrong_names(step.state, command)
    if wrong:
        return invalid(*wrong)
    named = _numbers(command.change)
    if named is None:
        return invalid(f"Invalid change: {command.change}")
    source = step.state.pipelines[command.pipeline].pipeline.source
    event = Event(ENQUEUE, source, command.project, number=named[0], patchset=named[1])
    intake.receive(step, known, event, command=(ticket, command))
    return None


def _enqueue_ref(step: Step, command: EnqueueRef) -> CommandAnswer:
    wrong = _wrong_names(step.state, command)
    if wrong:
        return invalid(*wrong)
    pipeline = step.state.pipelines[command.pipeline]
    key = RefKey(pipeline.pipeline.source, command.project, command.ref, command.newrev)
    if key not in step.state.records.by_key:
        step.state.records.remember(RefUpdate(key, command.oldrev, command.url))
    return enter_by_hand(step, pipeline, key)


# --- dequeue ---


def _dequeue(step: Step, command: Dequeue) -> CommandAnswer:
    pipeline = step.state.pipelines.get(command.pipeline)
    if pipeline is None:
        return invalid(f"Invalid pipeline: {command.pipeline}")
    wanted = command.change or command.ref or ""
    found = [item for item in pipeline.live.values() if _is_meant(step.state, item, command)]
    if not found:
        return CommandAnswer(done=False, lines=(f"{wanted} of {command.project} is not in {pipeline.name}",))
    reported = [item for item in found if item.reporting]
    for item in found:
        if not item.reporting:
            step.decide(item.subject_key, pipeline.name, Code.DEQUEUED)
            leaving.withdraw(step, item)
    if reported:
        return CommandAnswer(done=False, lines=(f"{wanted} has been decided already, and is being reported",))
    return CommandAnswer(done=True, lines=(f"{wanted} left {pipeline.name}; its builds are cancelled",))


def _is_meant(state: State, item: Item, command: Dequeue) -> bool:
    subject = state.subject(item)
    if subject.project != command.project:
        return False
    if command.change is not None:
        return str(item.subject_key) == _key_text(command.change)
    return isinstance(subject, RefUpdate) and subject.ref == command.ref


# --- promote ---


def _promote(step: Step, command: Promote) -> CommandAnswer:
    """The part of the queue that stays as it was keeps its builds; the rest comes in again, quietly."""
    pipeline = step.state.pipelines.get(command.pipeline)
    if pipeline is None:
        return invalid(f"Invalid pipeline: {command.pipeline}")
    found = _all_in_one_queue(pipeline, command.changes)
    if isinstance(found, str):
        return invalid(found)
    queue, promoted = found
    members = [item for item in queue.items if item.live and not item.reporting]  # whose fate is sealed stays
    order = list(dict.fromkeys([*(each for each in promoted if not each.reporting), *members]))
    unmoved = next((i for i, (one, other) in enumerate(zip(order, members, strict=True)) if one is not other), None)
    if unmoved is None:
        return CommandAnswer(done=True, lines=("they were in this order already",))
    for item in members[unmoved:]:
        step.decide(item.subject_key, pipeline.name, Code.PROMOTED, changes=changes_text(promoted))
    lost = _put_again(step, pipeline, members[unmoved:], order[unmoved:])
    lines = [f"{pipeline.name}: {', '.join(str(each.subject_key) for each in queue.items if each.live)}"]
    return CommandAnswer(done=True, lines=(*lines, *(f"{key} did not come in again" for key in lost)))


def _all_in_one_queue(pipeline: PipelineState, changes: Iterable[str]) -> tuple[ChangeQueue, list[Item]] | str:
    """Or what is wrong."""
    by_name = {str(key): item for key, item in pipeline.live.items()}
    promoted: list[Item] = []
    for name in changes:
        item = by_name.get(_key_text(name))
        if item is None:
            return f"{name} is not in {pipeline.name}"
        if promoted and item.queue is not promoted[0].queue:
            return f"{name} is in queue {item.queue.name}, and {changes_text(promoted)} in {promoted[0].queue.name}"
        promoted.append(item)
    return (promoted[0].queue, promoted) if promoted else "no changes are named"


def changes_text(items: Iterable[Item]) -> str:
    return ", ".join(str(each.subject_key) for each in items)


def _put_again(step: Step, pipeline: PipelineState, members: list[Item], order: list[Item]) -> list[SubjectKey]:
    """Take the members out, and let them in again in this order; those that could not come in."""
    former = {item.subject_key: item for item in members}
    keep = step.state.records.by_key
    records = {key: keep[key] for key in former}
    for item in members:
        building.cancel_builds(step, item)
    for item in members:
        leaving.take_out(step, item)
    for record in records.values():
        step.state.records.remember(record)
    for item in order:
        entry = Entry(pipeline, item.subject_key, quiet=True, ignore_requirements=True, former=former)
        entering.enter(step, entry)
    return [key for key in former if key not in pipeline.live]
