"""Stands for the outside while another layout decides: answers from the record, and assumptions where it has none.

A result that was recorded for the same patch set, job and pipeline counts; of others success is assumed, and said so.
Merges end as they did for the same patch set, else well. Reports arrive at once; what a report submits is merged.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count

from ci_gate.model.build import SUCCESS, BuildEnd, BuildUpdate
from ci_gate.model.change import MERGED, ChangeDetails
from ci_gate.model.merge import MergeAnswer, MergeOutcome
from ci_gate.model.report import Delivery, DeliveryOutcome, Review
from ci_gate.replay.facts import Place
from ci_gate.replay.memories import Job, Memories, Outcome
from ci_gate.scheduler.effects import (
    AnswerCommand,
    CancelBuild,
    DescribeBuilds,
    Effect,
    LaunchBuild,
    Merge,
    QueryChange,
    RecordHistory,
    RecordRunTime,
    SearchChanges,
    SendReport,
    SetTimer,
    UpdateRepository,
    VerifySubmit,
)
from ci_gate.scheduler.explain import Code, Decision
from ci_gate.scheduler.inputs import (
    BuildEnded,
    BuildUpdated,
    ChangeAnswered,
    ChangesFound,
    Input,
    MergeAnswered,
    ReportAnswered,
    SubmitVerified,
    TimerFired,
)

SUBMIT = "submit"


@dataclass(slots=True)
class StandIn:
    """Inputs in order of time. ``assumed`` are the jobs whose results nobody ever saw, by place."""

    memories: Memories
    assumed: dict[Place, dict[str, None]] = field(default_factory=dict)
    _waiting: list[tuple[float, int, Input]] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=count)
    _seen: dict[Job, int] = field(default_factory=dict)
    _launched: dict[str, Job] = field(default_factory=dict)
    _canceled: set[str] = field(default_factory=set)
    _submitted: set[tuple[str, str]] = field(default_factory=set)

    def put(self, *messages: Input) -> None:
        for each in messages:
            heapq.heappush(self._waiting, (each.at, next(self._numbers), each))

    def next(self, now: float) -> Input | None:
        """What comes next, at ``now`` at the earliest: time does not go back. None: nothing ever will."""
        while self._waiting:
            _, _, message = heapq.heappop(self._waiting)
            if isinstance(message, BuildEnded | BuildUpdated):
                uuid = message.end.uuid if isinstance(message, BuildEnded) else message.update.uuid
                if uuid in self._canceled:
                    continue
            return message if message.at >= now else replace(message, at=now)
        return None

    def note(self, decisions: Iterable[Decision]) -> None:
        """What was decided in the step whose effects come next: which builds are whose."""
        for each in decisions:
            if each.code is Code.LAUNCHED and each.pipeline is not None:
                values = dict(each.values)
                self._launched[str(values["uuid"])] = (each.subject, each.pipeline, str(values["job"]))

    def take(self, effects: Iterable[Effect], at: float) -> None:
        for each in effects:
            self.put(*self._answers(each, at))

    def _answers(self, effect: Effect, at: float) -> list[Input]:  # one branch an effect
        match effect:
            case QueryChange():
                return [ChangeAnswered(at, effect.ticket, self._change(effect, at))]
            case SearchChanges():
                known = self.memories.searches.get((effect.connection, effect.search))
                return [ChangesFound(at, effect.ticket, known.at(at) if known else ())]
            case Merge():
                return [MergeAnswered(at, self._merge(effect))]
            case UpdateRepository():
                return [MergeAnswered(at, MergeAnswer(effect.request.name, MergeOutcome.MERGED))]
            case VerifySubmit():
                merged = (effect.connection, effect.number) in self._submitted
                return [SubmitVerified(at, effect.item, merged, "" if merged else "nothing submits it", merged)]
            case LaunchBuild():
                return self._build(effect, at)
            case CancelBuild():
                self._canceled.add(effect.uuid)
            case SendReport():
                if isinstance(effect.report, Review) and SUBMIT in effect.report.flags:
                    self._submitted.add((effect.report.connection, effect.report.number))
                return [ReportAnswered(at, effect.report_id, Delivery(DeliveryOutcome.DELIVERED))]
            case SetTimer():
                return [TimerFired(max(effect.at, at), effect.timer)]
            case DescribeBuilds() | RecordRunTime() | RecordHistory() | AnswerCommand():
                pass
        return []

    def _change(self, effect: QueryChange, at: float) -> ChangeDetails | None:
        known = self.memories.changes.get((effect.connection, effect.number))
        details = known.at(at) if known else None
        if details is not None and (effect.connection, effect.number) in self._submitted:
            return replace(details, status=MERGED, is_open=False)
        return details

    def _merge(self, effect: Merge) -> MergeAnswer:
        known = self.memories.merges.get((effect.request.number, effect.request.patchset))
        if known is None:
            return MergeAnswer(effect.request.ref, MergeOutcome.MERGED)
        return replace(known, ref=effect.request.ref, bases=(), tip=None)

    def _build(self, effect: LaunchBuild, at: float) -> list[Input]:
        uuid, job = effect.request.uuid, self._launched.get(effect.request.uuid)
        started = BuildUpdated(at, BuildUpdate(uuid, started=True))
        if job is None and uuid in self.memories.ends:  # it ran already when the other layout took over
            return [started, self.memories.ends[uuid]]
        outcome = self._outcome(job, effect.request.job)
        return [started, BuildEnded(at + outcome.seconds, BuildEnd(uuid, outcome.result))]

    def _outcome(self, job: Job | None, name: str) -> Outcome:
        """The next of the recorded ones; the last one counts again for more."""
        known = self.memories.outcomes.get(job) if job is not None else None
        if job is None or not known:
            if job is not None:
                self.assumed.setdefault(job[:2], {})[name] = None
            return Outcome(SUCCESS, self.memories.usual_run_s(name))
        number = self._seen.get(job, 0)
        self._seen[job] = number + 1
        return known[min(number, len(known) - 1)]
