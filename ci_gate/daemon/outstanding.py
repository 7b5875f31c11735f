"""Effects that lack their outcome: what a restart has to do again (ARCHITECTURE: effects are safe to repeat).

A cancel has no outcome, and may still wait for the job server when the service dies: it is repeated for some time,
together with its launch, by which the launcher finds the build.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace

from ci_gate.model.build import Begun
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
    BuildUpdated,
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

CANCELS_KEPT_S = 300.0
MOST_CANCELS = 5000


class Outstanding:
    """Follows the steps in order. Of a report or a cancel that was tried the time of that is kept with it."""

    def __init__(self, effects: Iterable[Effect] = ()) -> None:
        self._by_key: dict[Key, Effect] = {key: each for each in effects if (key := _asked(each)) is not None}
        self._cancels = deque(each for each in self._by_key.values() if isinstance(each, CancelBuild))

    def __iter__(self) -> Iterator[Effect]:
        """Oldest first; a cancel after its launch."""
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
        if isinstance(message, BuildUpdated):
            self._begun(message)
        for each in effects:
            key, repeat = _asked(each), _as_repeat(each, message.at)
            if isinstance(repeat, CancelBuild):
                if ("build", repeat.uuid) not in self._by_key:
                    continue  # it has ended
                self._cancels.append(repeat)
            if key is not None:
                self._by_key[key] = repeat
        self._drop_old_cancels(message.at)

    def _begun(self, message: BuildUpdated) -> None:
        update, key = message.update, ("build", message.update.uuid)
        launch = self._by_key.get(key)
        if isinstance(launch, LaunchBuild) and update.number is not None:
            manager = update.manager or (launch.begun.manager if launch.begun else None)
            if manager is not None:
                self._by_key[key] = replace(launch, begun=Begun(manager, update.number, by_uuid=update.by_uuid))

    def _drop_old_cancels(self, at: float) -> None:
        while self._cancels and (
            len(self._cancels) > MOST_CANCELS or (self._cancels[0].first_tried_at or 0.0) < at - CANCELS_KEPT_S
        ):
            uuid = self._cancels.popleft().uuid
            self._by_key.pop(("build", uuid), None)
            self._by_key.pop(("cancel", uuid), None)


def _as_repeat(effect: Effect, at: float) -> Effect:
    if isinstance(effect, SendReport | CancelBuild) and effect.first_tried_at is None:
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
        case CancelBuild():
            return "cancel", effect.uuid
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
