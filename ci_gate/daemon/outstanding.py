"""Effects that lack their outcome: what a restart has to do again (ARCHITECTURE: effects are safe to repeat)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from ci_gate.scheduler.effects import (
    CancelBuild,
    Effect,
    LaunchBuild,
    Merge,
    QueryChange,
    SearchChanges,
    SendReport,
    SetTimer,
    UpdateRepository,
    VerifySubmit,
)
from ci_gate.scheduler.inputs import (
    BuildEnded,
    ChangeAnswered,
    ChangesFound,
    Input,
    MergeAnswered,
    QueryFailed,
    ReportAnswered,
    SubmitVerified,
    TimerFired,
)

Key = tuple[str, object]


class Outstanding:
    """Follows the steps in order. Of a report that was tried the time of that is kept with it."""

    def __init__(self, effects: Iterable[Effect] = ()) -> None:
        self._by_key: dict[Key, Effect] = {key: each for each in effects if (key := _asked(each)) is not None}

    def __iter__(self) -> Iterator[Effect]:
        """Oldest first."""
        return iter(self._by_key.values())

    def tried_before(self, at: float) -> None:
        """No report was first tried later than that: the clock of another machine may have said so."""
        for key, each in self._by_key.items():
            if isinstance(each, SendReport) and each.first_tried_at is not None and each.first_tried_at > at:
                self._by_key[key] = replace(each, first_tried_at=at)

    def step(self, message: Input, effects: Iterable[Effect]) -> None:
        answered = _answered(message)
        if answered is not None:
            self._by_key.pop(answered, None)
        for each in effects:
            if isinstance(each, CancelBuild):
                self._by_key.pop(("build", each.uuid), None)
                continue
            key = _asked(each)
            if key is not None:
                self._by_key[key] = _as_repeat(each, message.at)


def _as_repeat(effect: Effect, at: float) -> Effect:
    if isinstance(effect, SendReport) and effect.first_tried_at is None:
        return replace(effect, first_tried_at=at)
    return effect


def _asked(effect: Effect) -> Key | None:
    """What its outcome will be known by; None for effects without one."""
    match effect:
        case QueryChange() | SearchChanges():
            return "query", effect.ticket
        case Merge():
            return "merge", effect.request.ref
        case UpdateRepository():
            return "merge", effect.request.name
        case VerifySubmit():
            return "verify", effect.item
        case LaunchBuild():
            return "build", effect.request.uuid
        case SendReport():
            return "report", effect.report_id
        case SetTimer():
            return "timer", effect.timer
        case _:
            return None


def _answered(message: Input) -> Key | None:
    match message:
        case ChangeAnswered() | ChangesFound() | QueryFailed():
            return "query", message.ticket
        case MergeAnswered():
            return "merge", message.answer.ref
        case SubmitVerified():
            return "verify", message.item
        case BuildEnded():
            return "build", message.end.uuid
        case ReportAnswered():
            return "report", message.report
        case TimerFired():
            return "timer", message.timer
        case _:
            return None
