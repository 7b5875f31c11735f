"""What the outside answered while a record was made, found again by what it was asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ci_gate.model.change import ChangeDetails
from ci_gate.model.merge import MergeAnswer
from ci_gate.model.search import Search
from ci_gate.replay.running import Decided
from ci_gate.scheduler.effects import Effect, Merge, QueryChange, SearchChanges
from ci_gate.scheduler.explain import Code
from ci_gate.scheduler.inputs import (
    BuildEnded,
    ChangeAnswered,
    ChangesFound,
    Commanded,
    EventReceived,
    Input,
    MergeAnswered,
    TimeCame,
)

T = TypeVar("T")

SOON_S = 60.0  # so much later an answer still is one to the same event
USUAL_RUN_S = 60.0
Job = tuple[str, str, str]
"""A subject and a pipeline as decisions name them, and a job."""


@dataclass(slots=True)
class Series(Generic[T]):
    """Answers to one question, in order of time."""

    answers: list[tuple[float, T]] = field(default_factory=list)

    def at(self, at: float) -> T:
        """The next one if it came soon, else the one before, else the first there was."""
        following = [answer for when, answer in self.answers if at <= when <= at + SOON_S]
        if following:
            return following[0]
        before = [answer for when, answer in self.answers if when < at]
        return before[-1] if before else self.answers[0][1]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a build ended, and after how many seconds."""

    result: str
    seconds: float


@dataclass(slots=True)
class Memories:
    """``external`` are the inputs that nobody asked for: events, times and commands. ``ends`` are by uuid."""

    external: list[Input] = field(default_factory=list)
    changes: dict[tuple[str, str], Series[ChangeDetails | None]] = field(default_factory=dict)
    searches: dict[tuple[str, Search], Series[tuple[ChangeDetails, ...]]] = field(default_factory=dict)
    merges: dict[tuple[str, str], MergeAnswer] = field(default_factory=dict)
    outcomes: dict[Job, list[Outcome]] = field(default_factory=dict)
    run_times: dict[str, list[float]] = field(default_factory=dict)
    ends: dict[str, BuildEnded] = field(default_factory=dict)

    def usual_run_s(self, job: str) -> float:
        known = self.run_times.get(job)
        return sum(known) / len(known) if known else USUAL_RUN_S


@dataclass(slots=True)
class Gathering:
    """Follows a replay in order; ``memories`` is what it has gathered."""

    memories: Memories = field(default_factory=Memories)
    _queries: dict[int, QueryChange | SearchChanges] = field(default_factory=dict)
    _merges: dict[str, tuple[str, str]] = field(default_factory=dict)
    _launched: dict[str, tuple[Job, float]] = field(default_factory=dict)

    def begin(self, outstanding: Iterable[Effect]) -> None:
        """What had been asked for before, and was not answered."""
        self._note_asked(list(outstanding))

    def step(self, each: Decided) -> None:
        self._take(each.step.message)
        self._note_asked(each.step.effects)
        for decision in each.decisions:
            if decision.code is Code.LAUNCHED and decision.pipeline is not None:
                values = dict(decision.values)
                job = (decision.subject, decision.pipeline, str(values["job"]))
                self._launched[str(values["uuid"])] = (job, decision.at)

    def _note_asked(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, QueryChange | SearchChanges):
                self._queries[effect.ticket] = effect
            elif isinstance(effect, Merge):
                self._merges[effect.request.ref] = (effect.request.number, effect.request.patchset)

    def _take(self, message: Input) -> None:
        match message:
            case EventReceived() | TimeCame() | Commanded():
                self.memories.external.append(message)
            case ChangeAnswered():
                asked = self._queries.pop(message.ticket, None)
                if isinstance(asked, QueryChange):
                    known = self.memories.changes.setdefault((asked.connection, asked.number), Series())
                    known.answers.append((message.at, message.details))
            case ChangesFound():
                asked = self._queries.pop(message.ticket, None)
                if isinstance(asked, SearchChanges):
                    found = self.memories.searches.setdefault((asked.connection, asked.search), Series())
                    found.answers.append((message.at, message.found))
            case MergeAnswered():
                change = self._merges.pop(message.answer.ref, None)
                if change is not None:
                    self.memories.merges[change] = message.answer
            case BuildEnded():
                self._take_end(message)
            case _:
                pass

    def _take_end(self, message: BuildEnded) -> None:
        self.memories.ends[message.end.uuid] = message
        job, launched_at = self._launched.pop(message.end.uuid, (None, 0.0))
        if job is not None and message.end.result:
            seconds = max(message.at - launched_at, 0.0)
            self.memories.outcomes.setdefault(job, []).append(Outcome(message.end.result, seconds))
            self.memories.run_times.setdefault(job[2], []).append(seconds)
