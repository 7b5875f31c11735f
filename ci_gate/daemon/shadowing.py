"""A shadow listens and decides beside a live system, and never acts: it reports nothing and starts no build.

What it would have said is kept beside what the live system said, for ``ci-gate shadow report``. It merges in its own
``git_dir``, which harms nobody, and reads from Gerrit; nothing else of it reaches the outside.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Unpack

import structlog

from ci_gate.config.settings import Settings
from ci_gate.daemon.beginning import address_of
from ci_gate.daemon.builds import Builds
from ci_gate.daemon.history import DAY_S, Retention
from ci_gate.daemon.inbox import Inbox
from ci_gate.daemon.live_results import MOST_DECISIONS, LiveResults
from ci_gate.daemon.outbox import Outbox, Tools
from ci_gate.daemon.verification import Verified
from ci_gate.daemon.waits import Waits
from ci_gate.model.change import Change, ChangeKey
from ci_gate.model.event import Event
from ci_gate.model.labels import normal_label
from ci_gate.model.report import Delivery, DeliveryOutcome, Report, Review
from ci_gate.scheduler.codec import decode, encode
from ci_gate.scheduler.effects import SendReport, VerifySubmit
from ci_gate.scheduler.inputs import EventReceived, ReportAnswered
from ci_gate.scheduler.places import Place
from ci_gate.scheduler.scheduler import Scheduler
from ci_gate.shadow.said import JobResult, Kind, Said, Side
from ci_gate.store.journal import FILE, Journal
from ci_gate.store.shadow import MARK, ShadowRecord

BANNER = (
    "This is a shadow: it decides beside the live system, and never votes, merges or starts a build. "
    "Results of its builds are those that the live system has reported."
)
NOWHERE = "http://shadow.invalid/p"  # nobody fetches from a shadow
RETRY_S = 2.0
KINDS = {
    "SUCCESS": Kind.SUCCEEDED,
    "FAILURE": Kind.FAILED,
    "MERGER_FAILURE": Kind.UNMERGED,
    "ERROR": Kind.UNTESTED,
}

log = structlog.stdlib.get_logger("zuul.Shadow")


def as_shadow(settings: Settings) -> Settings:
    """Settings of a live system, without what would reach out, and with a journal of its own."""
    merger = replace(settings.merger, embedded=True, zuul_url=settings.merger.zuul_url or NOWHERE)
    return replace(
        settings,
        gearman=replace(settings.gearman, admin_functions=False),
        gearman_server=replace(settings.gearman_server, start=False),
        merger=merger,
        database=replace(settings.database, dburi=None),
        scheduler=replace(settings.scheduler, shadow=True),
    )


def why_not_here(settings: Settings) -> str | None:
    """A shadow's state would be a lie for a live service, and the other way round: each has folders of its own.

    Raises OSError.
    """
    folder, git_dir = settings.state_dir, settings.merger.git_dir
    is_shadows = (folder / MARK).exists()
    if is_shadows and not settings.scheduler.shadow:
        return f"state_dir {folder} is that of a shadow; give the live service a state_dir and a git_dir of its own"
    if is_shadows or not settings.scheduler.shadow:
        return None
    if (folder / FILE).exists():
        return f"state_dir {folder} is that of a live service; give the shadow a state_dir and a git_dir of its own"
    if git_dir.exists() and any(git_dir.iterdir()):
        return f"git_dir {git_dir} is not empty, and maybe the live system's; give the shadow one of its own"
    return None


def mark(settings: Settings) -> None:
    """From now on the folders are a shadow's, if this is one. Raises OSError."""
    if settings.scheduler.shadow:
        (settings.state_dir / MARK).touch()


class Shadow:
    """What a service has more if it is a shadow."""

    def __init__(self, settings: Settings, scheduler: Scheduler, now: Callable[[], float]) -> None:
        self._settings = settings
        self._scheduler = scheduler
        self._now = now
        self._record = ShadowRecord(address_of(settings))
        self._writing: set[asyncio.Task[None]] = set()
        self.live: LiveResults | None = None

    async def start(self, builds: Builds, parts: AsyncExitStack) -> LiveResults:
        """Until ``parts`` are closed. Raises what SQLAlchemy raises."""
        shadow = self._settings.shadow
        live = self.live = LiveResults(
            self._scheduler,
            accounts={each.name: shadow.account or each.user for each in self._settings.gerrits},
            patience_s=shadow.patience_s,
            now=self._now,
            on_end=builds.ended,
            keep=self.keep_soon,
        )
        parts.push_async_callback(self._close)
        parts.callback(live.close)
        since = time.time() - max(DAY_S, shadow.patience_s)
        said, events = await asyncio.to_thread(self._remembered, since)
        log.info("this is a shadow: it decides, and never acts", remembers=len(said))
        live.restore(said)
        for each in events:
            live.take(each.event, each.at)
        return live

    def _remembered(self, since: float) -> tuple[list[Said], list[EventReceived]]:
        """What was said, and events that may have come to the journal and not into the record."""
        self._record.trim(Retention.of(self._settings.database, time.time()).builds_before)
        said = [decode(json.loads(each), Said) for each in self._record.between(since, float("inf"))]
        last = max((each.at for each in said if each.side is Side.LIVE), default=since)
        journal = Journal(address_of(self._settings))
        try:
            return said, [decode(json.loads(each), EventReceived) for each in journal.inputs("EventReceived", last)]
        finally:
            journal.close()

    async def _close(self) -> None:
        if self._writing:
            await asyncio.wait(self._writing, timeout=RETRY_S)
        for each in self._writing:
            each.cancel()

    def take(self, event: Event) -> None:
        if self.live is not None:
            self.live.take(event, self._now())

    # --- keeping ---

    def keep_soon(self, said: Said) -> None:
        """Until it is done; after a crash it is found again in the journal."""
        task = asyncio.get_running_loop().create_task(self._keep_at_last(said))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _keep_at_last(self, said: Said) -> None:
        while True:
            try:
                await self.keep(said)
            except Exception as problem:  # noqa: BLE001  # whatever it is: it may pass
                log.warning("what the live system said cannot be kept", change=said.change, reason=str(problem))
                await asyncio.sleep(RETRY_S)
            else:
                return

    async def keep(self, said: Said) -> None:
        """Raises what SQLAlchemy raises."""
        await asyncio.to_thread(self._record.add, said.id, said.at, json.dumps(encode(said, Said)))

    # --- what the shadow would have said ---

    def said(self, place: Place, review: Review, report: int) -> Said:
        key, view = place.subject, place.view
        assert isinstance(key, ChangeKey)  # noqa: S101  # reviews are of changes
        kind = Kind.STARTED if place.is_start else _kind_of(place, review)
        about = [each for each in self._scheduler.decisions.about(str(key)) if each.pipeline in (None, place.pipeline)]
        live = self.live.heard_for(place, key) if self.live is not None and kind in KINDS.values() else None
        votes = {normal_label(name): value for name, value in review.labels}
        return Said(
            f"shadow {report}",
            self._now(),
            Side.SHADOW,
            kind,
            key.connection,
            view.subject.project if isinstance(view.subject, Change) else review.project,
            key.number,
            key.patchset,
            place.pipeline,
            votes,
            tuple(votes),
            _jobs(place),
            "submit" in review.flags,
            inside=True,
            answered_by=live.id if live is not None else "",
            text=review.message,
            decisions=tuple(each.text for each in about)[-MOST_DECISIONS:],
        )


def _kind_of(place: Place, review: Review) -> Kind:
    if review.message.startswith("All tests passed, but this change was not merged."):
        return Kind.UNSUBMITTED
    if review.message.startswith("This change was not tested"):
        return Kind.UNTESTED
    return KINDS.get(place.result or "", Kind.UNTESTED)


def _jobs(place: Place) -> tuple[JobResult, ...]:
    return tuple(
        JobResult(each.job.name, each.build.result, each.job.voting, each.report_url or "", each.build.reason)
        for each in place.view.jobs
        if each.build is not None and each.build.result
    )


class ShadowOutbox(Outbox):
    """Carries out what only reads, and merges on its own; the rest is kept, and counts as done."""

    def __init__(
        self,
        shadow: Shadow,
        live: LiveResults,
        scheduler: Scheduler,
        *,
        inbox: Inbox,
        waits: Waits,
        **tools: Unpack[Tools],
    ) -> None:
        super().__init__(inbox, waits, launcher=live, smtps={}, databases={}, **tools)
        self._shadow = shadow
        self._live = live
        self._scheduler = scheduler

    async def _report(self, effect: SendReport) -> None:
        place, delivery = self._scheduler.whose_report(effect.report_id), Delivery(DeliveryOutcome.DELIVERED)
        if isinstance(effect.report, Review) and place is not None:
            said = self._shadow.said(place, effect.report, effect.report_id)
            log.info(
                "would have reported", change=said.change, pipeline=said.pipeline, kind=said.kind, votes=said.votes
            )
            try:
                await self._shadow.keep(said)
            except Exception as problem:  # noqa: BLE001  # it is tried again, as a report that did not arrive
                delivery = Delivery(DeliveryOutcome.UNREACHABLE, str(problem))
        self._inbox.put(lambda at: ReportAnswered(at, effect.report_id, delivery))

    async def _deliver(self, report: Report, first_tried_at: float | None) -> Delivery:
        """Nothing is delivered, whoever asks for it."""
        return Delivery(DeliveryOutcome.DELIVERED)

    async def _verified(self, effect: VerifySubmit) -> Verified:
        """Merged is what the live system has merged; it may take longer to decide."""
        place = self._scheduler.whose_verification(effect.item)
        if place is None or not isinstance(place.subject, ChangeKey):
            return Verified(False, "nobody waits for it")
        said = await self._live.report_on(place, place.subject)
        passed = said is not None and said.kind is Kind.SUCCEEDED
        verifier = self._verifier if passed else replace(self._verifier, submit_s=0.0)
        found = await verifier.verify(effect)
        return found if found.merged else replace(found, reason="the live system did not merge it")
