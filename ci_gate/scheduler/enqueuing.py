"""Entering by an operator's hand: filters and requirements are not asked (scheduler.md 14)."""

from __future__ import annotations

from ci_gate.model.change import ChangeKey, SubjectKey
from ci_gate.model.commands import Enqueue
from ci_gate.model.operations import CommandAnswer
from ci_gate.scheduler import entering
from ci_gate.scheduler.effects import AnswerCommand
from ci_gate.scheduler.entering import Entry
from ci_gate.scheduler.state import PipelineState
from ci_gate.scheduler.step import Step
from ci_gate.scheduler.waiting import Waiting


def finish_enqueue(step: Step, waiting: Waiting) -> None:
    """The change that the command names has been looked at."""
    if waiting.command is None:
        return
    ticket, command = waiting.command
    step.emit(AnswerCommand(ticket, _finish_enqueue(step, waiting, command)))


def _finish_enqueue(step: Step, waiting: Waiting, command: Enqueue) -> CommandAnswer:
    event = waiting.event
    key = ChangeKey(event.connection, event.number or "", event.patchset or "")
    change = step.state.records.change(key) if waiting.details is not None else None
    pipeline = step.state.pipelines.get(command.pipeline)
    if change is None or pipeline is None or change.project != command.project:
        reason = f": {waiting.refusal}" if waiting.refusal else ""
        return invalid(f"Invalid change: {command.change}{reason}")
    if waiting.cycle:
        numbers = ", ".join(each.number for each in waiting.cycle)
        return CommandAnswer(done=False, lines=(f"changes need each other in a circle: {numbers}",))
    return enter_by_hand(step, pipeline, key)


def enter_by_hand(step: Step, pipeline: PipelineState, key: SubjectKey) -> CommandAnswer:
    """Its record must be known. The answer has the reason if it does not come in."""
    before = len(step.decisions)
    came_in = entering.enter(step, Entry(pipeline, key, ignore_requirements=True))
    told = [each for each in step.decisions[before:] if each.subject == str(key) and each.pipeline == pipeline.name]
    why = told[-1].text if told else "nothing to be said of it"
    return CommandAnswer(done=came_in, lines=(f"{key} in {pipeline.name}: {why}",))


def invalid(*lines: str) -> CommandAnswer:
    """The command names what does not exist."""
    return CommandAnswer(done=False, lines=lines, valid=False)
