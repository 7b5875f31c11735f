"""Where a shadow's builds get their results: from what the live system says about them in Gerrit.

Nothing is launched. A build waits for the live system's report on its patch set, which is matched to the pipeline of
its item; each report serves one item. Used on the loop's thread only.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog

from ci_gate.model.build import SUCCESS, Begun, BuildEnd, BuildRequest, BuildUpdate, NumberedBuild
from ci_gate.model.change import ChangeKey
from ci_gate.model.event import Event
from ci_gate.model.labels import normal_label
from ci_gate.model.layout import GerritReporter, Layout
from ci_gate.scheduler.places import Place
from ci_gate.scheduler.scheduler import Scheduler
from ci_gate.shadow.comments import Comment, labels_given, read_comment
from ci_gate.shadow.said import ASSUMED, NO_ANSWER, JobResult, Kind, Said, Side

EARLIER_S = 30.0  # a report that came so shortly before the shadow saw the item enter is still about it
AFTER_MERGE_S = 60.0  # once the change is merged the report has to come within this
MOST_REPORTS = 20_000
MOST_DECISIONS = 12

log = structlog.stdlib.get_logger("zuul.Shadow")


@dataclass(slots=True, eq=False)
class _Heard:
    """A report of the live system, and the item that took its results from it."""

    said: Said
    item: int | None = None


@dataclass(frozen=True, slots=True)
class _Waiting:
    uuid: str
    job: str
    place: Place
    key: ChangeKey
    timer: asyncio.TimerHandle


class LiveResults:
    """``accounts``: by connection, as whom the live system comments. ``keep`` is given all that it said.

    ``on_end`` is given the end of each build. Times are seconds.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        *,
        accounts: Mapping[str, str],
        patience_s: float,
        now: Callable[[], float],
        on_end: Callable[[BuildEnd], None],
        keep: Callable[[Said], None],
    ) -> None:
        self._scheduler = scheduler
        self._accounts = accounts
        self._patience_s = patience_s
        self._now = now
        self._on_end = on_end
        self._keep = keep
        self._waiting: dict[str, _Waiting] = {}
        self._heard: OrderedDict[str, _Heard] = OrderedDict()
        self._by_change: dict[ChangeKey, list[_Heard]] = defaultdict(list)
        self._started: dict[ChangeKey, set[str]] = defaultdict(set)
        self._merged: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._news = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    # --- as a launcher ---

    def launch(self, request: BuildRequest, begun: Begun | None = None, *, again: bool = False) -> None:
        place = self._scheduler.whose_build(request.uuid)
        if place is None or request.uuid in self._waiting:
            return
        key = place.subject
        if not isinstance(key, ChangeKey) or not reports_to_gerrit(self._scheduler.layout, place.pipeline):
            self._end(request.uuid, NO_ANSWER, "the live system says nothing of such builds in Gerrit")
            return
        heard = self.heard_for(place, key)
        if heard is not None:
            self._answer(request.uuid, request.job, heard)
            return
        left = place.enqueued_at + self._patience_s - self._now()
        timer = asyncio.get_running_loop().call_later(max(left, 0.0), self._give_up, request.uuid)
        self._waiting[request.uuid] = _Waiting(request.uuid, request.job, place, key, timer)

    def cancel(self, uuid: str) -> None:
        waiting = self._waiting.pop(uuid, None)
        if waiting is not None:
            waiting.timer.cancel()

    def describe(self, builds: Sequence[NumberedBuild], html: str) -> None:
        """They are the live system's."""

    def close(self) -> None:
        for uuid in list(self._waiting):
            self.cancel(uuid)

    # --- what the live system says ---

    def restore(self, said: Iterable[Said]) -> None:
        """What was said before this start, by both sides, in order."""
        for each in said:
            key = ChangeKey(each.connection, each.number, each.patchset)
            if each.kind is Kind.MERGED:
                self._hurry(key)
            elif each.side is Side.LIVE and each.is_final:
                self._remember(key, each)
            elif each.side is Side.SHADOW and each.answered_by in self._heard:
                self._heard[each.answered_by].item = -1  # of an item that has left

    def take(self, event: Event, at: float) -> None:
        """An event of any kind arrived at a time. One that was taken before changes nothing."""
        if event.number is None or event.patchset is None or event.project is None:
            return
        key = ChangeKey(event.connection, event.number, event.patchset)
        account = event.account.username if event.account else None
        is_live = account is not None and account == self._accounts.get(event.connection)
        if event.type == "change-merged":
            self._keep(self._said(event, key, at, Comment(Kind.MERGED, None), submit=is_live))
            self._hurry(key)
        elif event.type == "comment-added" and is_live:
            self._commented(event, key, at)

    def _commented(self, event: Event, key: ChangeKey, at: float) -> None:
        layout, started = self._scheduler.layout, self._started.get(key, set())
        votes = {normal_label(each.label): each.value for each in event.votes}
        comment = read_comment(
            event.comment or "",
            layout,
            connection=event.connection,
            project=event.project or "",
            votes=votes,
            started=started,
        )
        if comment is None:
            return
        if comment.kind is Kind.STARTED:
            self._started[key].add(comment.pipeline or "")
            if len(self._started) > MOST_REPORTS:
                del self._started[next(iter(self._started))]
        pipelines = {each.place.pipeline for each in self._waiting.values() if each.key == key}
        if comment.pipeline is None and len(pipelines) == 1:
            comment = replace(comment, pipeline=pipelines.pop())
        said = self._said(event, key, at, comment, votes=_votes(votes, layout))
        if said.id in self._heard:
            return
        self._keep(said)
        if said.is_final:
            self._started.pop(key, None)
            self._answer_waiting(key, self._remember(key, said))

    def _said(
        self,
        event: Event,
        key: ChangeKey,
        at: float,
        comment: Comment,
        *,
        votes: Mapping[str, int] | None = None,
        submit: bool = False,
    ) -> Said:
        about = [
            each for each in self._scheduler.decisions.about(str(key)) if comment.pipeline in (None, each.pipeline)
        ]
        return Said(
            _identity(event),
            at,
            Side.LIVE,
            comment.kind,
            key.connection,
            event.project or "",
            key.number,
            key.patchset,
            comment.pipeline,
            votes or {},
            labels_given(event.comment or "") if votes else (),
            comment.jobs,
            submit,
            comment.pipeline is not None and self._scheduler.is_inside(comment.pipeline, key),
            text=event.comment or "",
            decisions=tuple(each.text for each in about)[-MOST_DECISIONS:],
        )

    def _remember(self, key: ChangeKey, said: Said) -> _Heard:
        heard = self._heard[said.id] = _Heard(said)
        self._by_change[key].append(heard)
        if len(self._heard) > MOST_REPORTS:
            _, gone = self._heard.popitem(last=False)
            old = ChangeKey(gone.said.connection, gone.said.number, gone.said.patchset)
            self._by_change[old].remove(gone)
            if not self._by_change[old]:
                del self._by_change[old]
        self._tell()
        return heard

    def _answer_waiting(self, key: ChangeKey, heard: _Heard) -> None:
        """The oldest item that waits for this report gets it, with all its builds."""
        found = [
            each for each in self._waiting.values() if (each.key, each.place.pipeline) == (key, heard.said.pipeline)
        ]
        if not found:
            return
        heard.item = min(each.place.item for each in found)
        for each in found:
            if each.place.item == heard.item:
                self.cancel(each.uuid)
                self._answer(each.uuid, each.job, heard.said)

    # --- who asks ---

    def heard_for(self, place: Place, key: ChangeKey) -> Said | None:
        """The live system's report on an item: the one that it took before, or one that serves nobody yet."""
        known = [each for each in self._by_change.get(key, ()) if each.said.pipeline == place.pipeline]
        for each in known:
            if each.item == place.item:
                return each.said
        for each in known:
            if each.item is None and each.said.at >= place.enqueued_at - EARLIER_S:
                each.item = place.item
                return each.said
        return None

    async def report_on(self, place: Place, key: ChangeKey) -> Said | None:
        """The same, as soon as it comes; None if it does not come in time, or the change is merged without it."""
        left = place.enqueued_at + self._patience_s - self._now()
        try:
            async with asyncio.timeout(max(left, 0.0)), self._news:
                while (heard := self.heard_for(place, key)) is None:
                    if (key.connection, key.number) in self._merged:
                        return None
                    await self._news.wait()
                return heard
        except TimeoutError:
            return self.heard_for(place, key)

    def _tell(self) -> None:
        task = asyncio.get_running_loop().create_task(self._wake())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _wake(self) -> None:
        async with self._news:
            self._news.notify_all()

    # --- ends of builds ---

    def _answer(self, uuid: str, job: str, said: Said) -> None:
        found = next((each for each in said.jobs if each.job == job), None)
        if found is not None:
            self._end(uuid, found.result, "", found)
        elif said.jobs or said.kind is Kind.SUCCEEDED:
            self._end(uuid, SUCCESS, ASSUMED)
        else:
            self._end(uuid, NO_ANSWER, f"the live system ran no jobs: {said.kind}")

    def _end(self, uuid: str, result: str, reason: str, job: JobResult | None = None) -> None:
        last = BuildUpdate(uuid, url=job.url) if job is not None and "://" in job.url else None
        self._on_end(BuildEnd(uuid, result, reason=reason, last=last))

    def _give_up(self, uuid: str) -> None:
        if self._waiting.pop(uuid, None) is not None:
            self._end(uuid, NO_ANSWER, "the live system said nothing of it in time")

    def _hurry(self, key: ChangeKey) -> None:
        """The change is merged: what the live system has to say of it comes soon, or never."""
        self._merged[key.connection, key.number] = None
        if len(self._merged) > MOST_REPORTS:
            self._merged.popitem(last=False)
        self._tell()
        loop = asyncio.get_running_loop()
        for uuid, each in self._waiting.items():
            if each.key.same_change(key):
                each.timer.cancel()
                timer = loop.call_later(AFTER_MERGE_S, self._give_up, uuid)
                self._waiting[uuid] = replace(each, timer=timer)


def reports_to_gerrit(layout: Layout, pipeline: str) -> bool:
    """Does Gerrit hear how an item of the pipeline ended?"""
    found = layout.pipeline(pipeline)
    reporters = (*found.success, *found.failure) if found else ()
    return any(isinstance(each, GerritReporter) for each in reporters)


def _votes(votes: Mapping[str, int], layout: Layout) -> dict[str, int]:
    """Those with labels that some pipeline votes on: others the account may have given at any time."""
    reporters = [
        each
        for pipeline in layout.pipelines
        for each in (*pipeline.start, *pipeline.success, *pipeline.failure, *pipeline.merge_failure)
    ]
    known = {normal_label(name) for each in reporters if isinstance(each, GerritReporter) for name, _ in each.labels}
    return {label: value for label, value in votes.items() if label in known}


def _identity(event: Event) -> str:
    parts = (event.type, event.connection, event.number, event.patchset, event.created_on, event.comment)
    return hashlib.blake2b(repr(parts).encode(), digest_size=20).hexdigest()
