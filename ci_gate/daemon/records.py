"""Steps as the journal keeps them: inputs, oracles' answers and effects as JSON, and back.

A layout is kept by its digest: ``LayoutReplaced`` names it. The functions that come with it are not kept; what they
answered is. So are searches that took too long: whether one does depends on the clock.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ci_gate.config.layout.limits import TimedOut, take_timed_out
from ci_gate.model.item import ItemView
from ci_gate.model.layout import Job, Layout
from ci_gate.model.options import SchedulerSettings
from ci_gate.scheduler import inputs
from ci_gate.scheduler.codec import decode, encode
from ci_gate.scheduler.effects import Effect
from ci_gate.scheduler.inputs import Input, LayoutReplaced
from ci_gate.scheduler.oracle import Answer, Oracle
from ci_gate.scheduler.parameters import ParameterError, as_texts

OracleAnswer = Answer | TimedOut
"""What a function made of a build's parameters, or a search that took too long."""

LayoutOf = Callable[[str], Layout]


def encode_input(message: Input, keep_layout: Callable[[Layout], str]) -> str:
    """``keep_layout`` keeps the layout that an input brings, and says by which digest."""
    if isinstance(message, LayoutReplaced):
        data = {"at": message.at, "ticket": message.ticket, "layout": keep_layout(message.layout)}
        if message.options is not None:
            data["options"] = encode(message.options, SchedulerSettings)
        return json.dumps(data)
    return json.dumps(encode(message, type(message)))


def decode_input(kind: str, text: str, layout_of: LayoutOf, oracle: Oracle) -> Input:
    """Raises KeyError, TypeError, ValueError or ExceptionGroup for what makes no sense."""
    data = json.loads(text)
    if kind == LayoutReplaced.__name__:
        options = decode(data["options"], SchedulerSettings) if "options" in data else None
        return LayoutReplaced(data["at"], data["ticket"], layout_of(data["layout"]), oracle, options)
    message: Input = decode(data, getattr(inputs, kind))
    return message


def encode_effects(effects: Sequence[Effect]) -> str:
    return json.dumps([encode(each, Effect) for each in effects])


def decode_effects(text: str) -> list[Effect]:
    return [decode(each, Effect) for each in json.loads(text)]  # type: ignore[arg-type]  # a union is no class to mypy


def encode_answers(answers: Iterable[OracleAnswer]) -> str:
    return json.dumps([_encode_answer(each) for each in answers])


def _encode_answer(answer: OracleAnswer) -> object:
    if isinstance(answer, TimedOut):
        return {"timed_out": answer.expression, "text": answer.text}
    return [answer.parameters, answer.error]


def decode_answers(text: str) -> list[OracleAnswer]:
    return [_decode_answer(each) for each in json.loads(text)]


def _decode_answer(data: Any) -> OracleAnswer:
    if isinstance(data, dict):
        return TimedOut(data["timed_out"], data["text"])
    parameters, error = data
    return Answer(parameters, error)


@dataclass(slots=True)
class RecordingOracle:
    """Asks the real one and keeps what it answers, as it will be sent: a replay needs no more, and no other values."""

    oracle: Oracle
    answers: list[Answer] = field(default_factory=list)

    def edit_parameters(self, item: ItemView, job: Job, parameters: dict[str, object]) -> Answer:
        answer = self.oracle.edit_parameters(item, job, parameters)
        if answer.error is None:
            try:
                answer = Answer(dict(as_texts(answer.parameters)))
            except ParameterError as problem:
                answer = Answer({}, str(problem))
        else:
            answer = Answer({}, answer.error)
        self.answers.append(answer)
        return answer

    def take(self) -> list[OracleAnswer]:
        """What was answered since the last time, and which searches took too long."""
        taken, self.answers = self.answers, []
        return [*taken, *take_timed_out()]


@dataclass(slots=True)
class ReplayingOracle:
    """Answers as it was answered then. ``timed_out`` are the searches that took too long in this step."""

    answers: deque[Answer] = field(default_factory=deque)
    timed_out: tuple[TimedOut, ...] = ()

    def use(self, recorded: Iterable[OracleAnswer]) -> None:
        """From now on these: those of the next step."""
        answers = list(recorded)
        self.answers = deque(each for each in answers if isinstance(each, Answer))
        self.timed_out = tuple(each for each in answers if isinstance(each, TimedOut))

    def edit_parameters(self, item: ItemView, job: Job, parameters: dict[str, object]) -> Answer:
        if not self.answers:
            return Answer({}, f"{job.parameter_function} was not asked when this was recorded")
        return self.answers.popleft()
