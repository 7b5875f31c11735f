"""Carries out effects: one effect is one call, and what it brings back is an input again.

Every call runs beside the loop's own work, within its deadline. Whatever goes wrong becomes an answer too, so that
the scheduler never waits for one that does not come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any, TypedDict, TypeVar, assert_never

import structlog

from ci_gate.config.settings import SmtpSettings
from ci_gate.daemon.builds import Builds, Launcher
from ci_gate.daemon.commands import CommandDesk
from ci_gate.daemon.inbox import Inbox
from ci_gate.daemon.tips import BranchTips
from ci_gate.daemon.verification import Verified, Verifier
from ci_gate.daemon.waits import Waits
from ci_gate.failpoints import failpoint
from ci_gate.gerrit.access import GerritAccess
from ci_gate.gerrit.query import QueryFailedError
from ci_gate.mail.smtp import send_mail
from ci_gate.merger.interface import Merger
from ci_gate.model.merge import MergeAnswer, MergeOutcome
from ci_gate.model.options import SchedulerSettings
from ci_gate.model.report import Delivery, DeliveryOutcome, Mail, Report, ResultRecord, Review
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
from ci_gate.scheduler.inputs import (
    ChangeAnswered,
    ChangesFound,
    MergeAnswered,
    QueryFailed,
    ReportAnswered,
    SubmitVerified,
    TimerFired,
)
from ci_gate.sql.database import ResultsDatabase
from ci_gate.store.estimates import Estimates

QUERY_DEADLINE_S = 40.0  # the adapter's own is 30 s: this one only catches what it forgot
REVIEW_DEADLINE_S = 200.0  # up to three commands of 60 s
MAIL_DEADLINE_S = 60.0
RECORD_DEADLINE_S = 90.0  # drivers have limits of their own for each of their waits

T = TypeVar("T")

log = structlog.stdlib.get_logger("zuul.Outbox")


class Tools(TypedDict):
    """What any outbox works with, whether it acts or is a shadow's."""

    gerrits: Mapping[str, GerritAccess]
    merger: Merger
    tips: BranchTips
    builds: Builds
    estimates: Estimates
    commands: CommandDesk
    options: SchedulerSettings


class Outbox:
    """``release`` starts calls and returns at once; ``close`` cancels what is under way."""

    def __init__(
        self,
        inbox: Inbox,
        waits: Waits,
        *,
        gerrits: Mapping[str, GerritAccess],
        smtps: Mapping[str, SmtpSettings],
        databases: Mapping[str, ResultsDatabase],
        merger: Merger,
        tips: BranchTips,
        launcher: Launcher,
        builds: Builds,
        estimates: Estimates,
        commands: CommandDesk,
        options: SchedulerSettings,
    ) -> None:
        self._inbox = inbox
        self._waits = waits
        self._gerrits = gerrits
        self._smtps = smtps
        self._databases = databases
        self._merger = merger
        self._tips = tips
        self._launcher = launcher
        self._builds = builds
        self._estimates = estimates
        self._commands = commands
        self._verifier = Verifier(
            lambda connection, number: gerrits[connection].query_change(number),
            merger,
            waits,
            replication_s=options.replication_timeout_s,
            interval_s=options.replication_retry_interval_s,
        )
        self._calls: set[asyncio.Task[None]] = set()
        self._timers: set[asyncio.TimerHandle] = set()

    def release(self, effects: list[Effect], *, again: bool = False) -> None:
        """``again``: the process before this one may have carried them out."""
        for effect in effects:
            failpoint("effect.before", type(effect).__name__)
            self._carry_out(effect, again)
            failpoint("effect.begun", type(effect).__name__)

    async def close(self) -> None:
        for timer in self._timers:
            timer.cancel()
        for call in self._calls:
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)

    def _carry_out(self, effect: Effect, again: bool) -> None:  # noqa: PLR0912  # one branch an effect
        match effect:
            case QueryChange():
                self._start(self._query(effect))
            case SearchChanges():
                self._start(self._search(effect))
            case Merge():
                self._start(self._merge(effect))
            case UpdateRepository():
                self._start(self._update(effect))
            case VerifySubmit():
                self._start(self._verify(effect))
            case LaunchBuild():
                self._builds.launched(effect.request)
                self._launcher.launch(effect.request, effect.begun, again=again)
            case CancelBuild():
                self._builds.canceled(effect.uuid)
                self._launcher.cancel(effect.uuid)
            case DescribeBuilds():
                self._launcher.describe(effect.builds, effect.html)
            case SendReport():
                self._start(self._report(effect))
            case SetTimer():
                self._set_timer(effect)
            case RecordRunTime():
                self._start(self._record_run_time(effect))
            case RecordHistory():
                pass  # written with the journal, see recorder.py
            case AnswerCommand():
                self._commands.answer(effect)
            case _:
                assert_never(effect)

    def _start(self, call: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(call)
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    # --- Gerrit ---

    async def _query(self, effect: QueryChange) -> None:
        asked = self._gerrits[effect.connection].query_change(effect.number, readiness=effect.readiness)
        details, failure = await self._asked(effect, f"query of change {effect.number}", asked)
        failpoint("effect.done.QueryChange")
        self._inbox.put(lambda at: failure(at) if failure else ChangeAnswered(at, effect.ticket, details))

    async def _search(self, effect: SearchChanges) -> None:
        asked = self._gerrits[effect.connection].search_changes(effect.search, readiness=effect.readiness)
        found, failure = await self._asked(effect, f"search for {effect.search.value}", asked)
        self._inbox.put(lambda at: failure(at) if failure else ChangesFound(at, effect.ticket, found or ()))

    async def _asked(
        self, effect: QueryChange | SearchChanges, name: str, asking: Awaitable[T]
    ) -> tuple[T | None, Callable[[float], QueryFailed] | None]:
        """What Gerrit answers, or what to tell of the failure."""
        try:
            async with self._waits.of(name, f"Gerrit {effect.connection}", QUERY_DEADLINE_S):
                return await asking, None
        except QueryFailedError as problem:
            reason, transient = str(problem), problem.transient
        except Exception as problem:
            log.exception("query failed in an unexpected way", query=name)
            reason, transient = f"{type(problem).__name__}: {problem}", True
        log.warning("query failed", query=name, connection=effect.connection, reason=reason)
        return None, lambda at: QueryFailed(at, effect.ticket, reason, transient)

    async def _report(self, effect: SendReport) -> None:
        try:
            delivery = await self._deliver(effect.report, effect.first_tried_at)
        except TimeoutError:
            delivery = Delivery(DeliveryOutcome.UNREACHABLE, "no answer within the deadline")
        except Exception as problem:
            log.exception("report failed in an unexpected way")
            delivery = Delivery(DeliveryOutcome.TRANSIENT, f"{type(problem).__name__}: {problem}")
        failpoint("effect.done.SendReport")
        self._inbox.put(lambda at: ReportAnswered(at, effect.report_id, delivery))

    async def _deliver(self, report: Report, first_tried_at: float | None) -> Delivery:
        match report:
            case Review():
                name = f"review of {report.number},{report.patchset}"
                async with self._waits.of(name, f"Gerrit {report.connection}", REVIEW_DEADLINE_S):
                    return await self._gerrits[report.connection].post_review(report, first_tried_at=first_tried_at)
            case Mail():
                async with self._waits.of("mail", f"SMTP {report.connection}", MAIL_DEADLINE_S):
                    return await send_mail(self._smtps[report.connection], report, deadline_s=MAIL_DEADLINE_S)
            case ResultRecord():
                async with self._waits.of("record of a report", f"database {report.connection}", RECORD_DEADLINE_S):
                    return await self._databases[report.connection].write(report, first_tried_at=first_tried_at)
            case _:
                assert_never(report)

    # --- mergers ---

    async def _merge(self, effect: Merge) -> None:
        request, asked_at = effect.request, self._inbox.now()
        if not effect.fresh:
            request = replace(request, tip=self._tips.tip(request.connection, request.project, request.branch))
        name = f"merge of {request.number},{request.patchset} in {request.project}"
        try:
            async with self._waits.of(name, "merger", self._merger.deadline_s):
                answer = await self._merger.merge(request, effect.precedence)
            self._tips.learn(request, answer, asked_at)
        except Exception as problem:  # noqa: BLE001  # told in the log and to the scheduler, which repeats it
            answer = _failed_merge(request.ref, problem)
        failpoint("effect.done.Merge")
        self._inbox.put(lambda at: MergeAnswered(at, answer))

    async def _update(self, effect: UpdateRepository) -> None:
        request = effect.request
        try:
            async with self._waits.of(f"update of {request.project}", "merger", self._merger.deadline_s):
                answer = await self._merger.update(request, effect.precedence)
        except Exception as problem:  # noqa: BLE001  # told in the log and to the scheduler, which repeats it
            answer = _failed_merge(request.name, problem)
        failpoint("effect.done.UpdateRepository")
        self._inbox.put(lambda at: MergeAnswered(at, answer))

    async def _verify(self, effect: VerifySubmit) -> None:
        try:
            found = await self._verified(effect)
        except Exception as problem:
            log.exception("verification failed in an unexpected way", change=effect.number)
            found = Verified(False, f"{type(problem).__name__}: {problem}")
        failpoint("effect.done.VerifySubmit")
        self._inbox.put(lambda at: SubmitVerified(at, effect.item, found.merged, found.reason, found.as_built))

    async def _verified(self, effect: VerifySubmit) -> Verified:
        return await self._verifier.verify(effect)

    # --- builds ---

    async def _record_run_time(self, effect: RecordRunTime) -> None:
        try:
            await asyncio.to_thread(self._estimates.add, effect.job, effect.seconds, succeeded=effect.succeeded)
        except OSError as problem:
            log.warning("run time not kept", job=effect.job, reason=str(problem))
        failpoint("effect.done.RecordRunTime")

    # --- time ---

    def _set_timer(self, effect: SetTimer) -> None:
        loop = asyncio.get_running_loop()
        delay = max(0.0, effect.at - self._inbox.now())
        handle: asyncio.TimerHandle = loop.call_later(delay, lambda: self._fire(handle, effect.timer))
        self._timers.add(handle)

    def _fire(self, handle: asyncio.TimerHandle, timer: str) -> None:
        self._timers.discard(handle)
        self._inbox.put(lambda at: TimerFired(at, timer))


def _failed_merge(ref: str, problem: Exception) -> MergeAnswer:
    log.error("merge failed in an unexpected way", ref=ref, exc_info=problem)
    return MergeAnswer(ref, MergeOutcome.INTERNAL, detail=f"{type(problem).__name__}: {problem}")
