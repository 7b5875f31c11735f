"""No event is missed: what the stream did not bring is looked for, and enters as an event, once (gerrit-wire.md 10).

One of these a Gerrit connection. A look follows each opening of the stream, each notice that Gerrit dropped events,
and every ``reconcile_interval``. It goes back to the time up to which everything is in the journal; that mark moves
only when all that a look found is there too. What the stream brought in that time is known from the journal, so a
look may end anywhere, and the next one goes over the same ground.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import structlog
from sqlalchemy.exc import SQLAlchemyError

from ci_gate.config.settings import GerritSettings
from ci_gate.gerrit.access import GerritAccess
from ci_gate.gerrit.events import BadLineError, JsonObject, event_of
from ci_gate.gerrit.events_log import EventsLogError
from ci_gate.gerrit.missed import events_of, published_patch_set
from ci_gate.gerrit.query import QueryFailedError
from ci_gate.gerrit.refs import PREFIXES
from ci_gate.gerrit.seen import Seen, full_ref
from ci_gate.model.change import NO_REVISION
from ci_gate.model.event import Event
from ci_gate.model.operations import CatchUp
from ci_gate.store.marks import Mark, Marks

MARGIN_S = 120.0  # looks go back this much further, for clocks that differ and an index that lags
REMEMBERED_S = 900.0  # of happenings before the mark
SECOND_LOOK_S = 10.0  # after the stream's opening: Gerrit says that it is open before it has begun to listen
LOOK_AFTER_POST_S = 60.0
MOST_WAITING = 20  # events that wait for a decision while found ones are added: live ones do not queue behind hundreds
FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 60.0
CLOCK_SAMPLES = 100

log = structlog.stdlib.get_logger("zuul.GerritConnection")


@dataclass(frozen=True, slots=True)
class Wanted:
    """The projects that events are wanted of; ``with_refs``: of their branches and tags as well."""

    projects: Sequence[str]
    with_refs: Sequence[str]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a look needs of the service.

    ``take`` an event; ``backlog``: how many wait for their decision; ``journaled`` returns when all that was taken is
    in the journal. ``looked`` is told how each look ended and how many seconds it took. ``logged``, where Gerrit keeps
    its events: those between two times of its clock; raises EventsLogError.
    """

    wanted: Callable[[], Wanted]
    take: Callable[[Event], None]
    backlog: Callable[[], int]
    journaled: Callable[[], Awaitable[None]]
    looked: Callable[[CatchUp, float], None] = lambda *_: None
    logged: Callable[[float, float], Awaitable[Iterable[JsonObject]]] | None = None


class CatchingUp:
    """Used on the loop's thread."""

    def __init__(
        self, settings: GerritSettings, access: GerritAccess, marks: Marks, surroundings: Surroundings
    ) -> None:
        self._settings = settings
        self._access = access
        self._marks = marks
        self._around = surroundings
        self._seen = Seen()
        self._refs: dict[str, dict[str, str]] = {}
        self._drafts: set[tuple[str | None, str | None]] = set()
        self._log_is_missing = False
        self._mark = Mark(0.0, 0.0)
        self._wanted = asyncio.Event()
        self._second_look_at: float | None = None
        self._look_planned: asyncio.TimerHandle | None = None
        self._delays: deque[float] = deque(maxlen=CLOCK_SAMPLES)
        self.newest_found_at = 0.0  # by our clock
        self.state = CatchUp(settings.name)

    # --- before the start ---

    def begin(self, mark: Mark) -> None:
        """Where the last run stood."""
        self._mark = mark
        self._refs = {project: dict(refs) for project, refs in mark.refs.items()}

    @property
    def remembers_since(self) -> float:
        """From when on the journal's events are to be ``restored``; our clock."""
        return self._since - REMEMBERED_S

    def restore(self, events: Iterable[Event]) -> None:
        """What was taken before this start, in order."""
        for event in events:
            self._seen.restore(event)
            self._note_ref(event)

    # --- what the stream tells ---

    def arrived(self, event: Event) -> None:
        self._hear(event, may_repeat=False)

    def posted(self, event: Event) -> None:
        """As ``arrived``, but Gerrit may post one again; and where one post arrives, others may have been lost."""
        self._hear(event, may_repeat=True)
        if self._look_planned is None:
            self._look_planned = asyncio.get_running_loop().call_later(LOOK_AFTER_POST_S, self._look_now)

    def _hear(self, event: Event, *, may_repeat: bool) -> None:
        if event.created_on is not None:
            self._delays.append(time.time() - event.created_on)
        self._note_ref(event)
        if self._seen.tell(event, may_repeat=may_repeat):
            self._around.take(event)

    def _look_now(self) -> None:
        self._look_planned = None
        self._wanted.set()

    def gap(self) -> None:
        """Events may have been missed."""
        self._second_look_at = time.monotonic() + SECOND_LOOK_S
        self._wanted.set()

    # --- looking ---

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._until_wanted()
            self._wanted.clear()
            pause = FIRST_PAUSE_S
            while (problem := await self._timed_look()) is not None:
                log.warning("cannot look for missed events yet", connection=self._settings.name, reason=problem)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)

    async def _until_wanted(self) -> None:
        waits = [self._settings.reconcile_interval_s] if self._settings.reconcile_interval_s else []
        if self._second_look_at is not None:
            waits.append(max(0.0, self._second_look_at - time.monotonic()))
            if waits[-1] <= 0:
                self._second_look_at = None
        with suppress(TimeoutError):
            async with asyncio.timeout(min(waits, default=None)):
                await self._wanted.wait()

    async def _timed_look(self) -> str | None:
        begun = time.monotonic()
        problem = await self._look()
        self.state = replace(self.state, problem=problem or "")
        self._around.looked(self.state, time.monotonic() - begun)
        return problem

    async def _look(self) -> str | None:
        """Find, take, and move the mark; what went wrong, or None."""
        begun, found = time.time() - self._clock_ahead, 0
        wanted = self._around.wanted()
        try:
            found += await self._look_into_log(set(wanted.projects), begun)
            async for record in self._access.updated_changes(wanted.projects, begun - self._since):
                for event in self._seen.find([*self._events_of(record), *self._published(record)]):
                    found += 1
                    await self._take(event)
            for project in wanted.with_refs:
                found += await self._look_at_refs(project)
            await self._around.journaled()
            await self._move_mark(begun)
        except (QueryFailedError, SQLAlchemyError) as problem:
            return str(problem).splitlines()[0]
        except Exception as problem:  # a defect of ours must not end the service; the next look goes over it again
            log.exception("a look for missed events failed in an unexpected way", connection=self._settings.name)
            return f"{type(problem).__name__}: {problem}"
        self.state = CatchUp(self._settings.name, time.time(), found, self.state.found_total)
        if found:
            log.info("caught up with missed events", connection=self._settings.name, events=found)
        return None

    async def _look_into_log(self, projects: set[str], until: float) -> int:
        """What queries do not show is there too. Without the log, they are what there is."""
        if self._around.logged is None or self._log_is_missing:
            return 0
        try:
            lines = await self._around.logged(self._since, until)
        except EventsLogError as problem:
            log.warning("no look into Gerrit's log of events", connection=self._settings.name, reason=str(problem))
            self._log_is_missing = not problem.installed
            return 0
        events = [each for line in lines if (each := self._logged_event(line)) and each.project in projects]
        news = self._seen.replay(events)
        for event in news:
            known = self._refs.get(event.project or "", {})
            if event.type == "ref-updated" and known.get(full_ref(event), NO_REVISION) == event.oldrev:
                self._note_ref(event)
            await self._take(event)  # not marked as caught up with: it is as the stream would have told it, times too
        return len(news)

    def _logged_event(self, found: JsonObject) -> Event | None:
        try:
            return event_of(found, self._settings)
        except BadLineError:
            return None

    def _published(self, record: JsonObject) -> list[Event]:
        """A patch set that an earlier look saw as a draft, and that is none any more (Gerrit before 2.15)."""
        draft, event = published_patch_set(record, self._settings, at=int(time.time() - self._clock_ahead))
        if event is None:
            return []
        name = (event.number, event.patchset)
        if draft:
            self._drafts.add(name)
            return []
        if name not in self._drafts:
            return []
        self._drafts.discard(name)
        return [event]

    def _events_of(self, record: JsonObject) -> list[Event]:
        """A row without sense must not keep all others from being looked at."""
        try:
            return events_of(record, self._since, self._settings)
        except ValueError as problem:
            log.warning("cannot tell what was missed", change=record.get("number"), reason=str(problem))
            return []

    async def _take(self, event: Event) -> None:
        if event.created_on is not None:
            self.newest_found_at = max(self.newest_found_at, event.created_on + self._clock_ahead)
        while self._around.backlog() >= MOST_WAITING:  # noqa: ASYNC110  # two counters of others, which tell nobody
            await asyncio.sleep(0.01)
        log.info("found a missed event", connection=self._settings.name, missed=event.describe())
        self.state = replace(self.state, found_total=self.state.found_total + 1)
        self._around.take(event)

    async def _look_at_refs(self, project: str) -> int:
        """Every branch and tag that is elsewhere than what was last heard of it; how many."""
        before = dict(self._refs.get(project, {}))
        try:
            there = await self._access.list_refs(project)
        except QueryFailedError as problem:
            if problem.transient:
                raise
            log.warning("cannot see branches", connection=self._settings.name, project=project, reason=str(problem))
            return 0
        if project not in self._refs:
            self._refs[project] = there
            return 0
        found = 0
        for ref in sorted(before.keys() | there.keys()):
            old, new = before.get(ref, NO_REVISION), there.get(ref, NO_REVISION)
            if old == new or self._refs[project].get(ref, NO_REVISION) != old:
                continue  # nothing happened, or the stream has told it meanwhile
            event = self._ref_event(project, ref, old, new)
            self._note_ref(event)
            if self._seen.find([event]):
                found += 1
                await self._take(event)
        return found

    def _ref_event(self, project: str, ref: str, old: str, new: str) -> Event:
        update = {"project": project, "refName": ref, "oldRev": old, "newRev": new}
        at = int(time.time() - self._clock_ahead)
        event = event_of({"type": "ref-updated", "refUpdate": update, "eventCreatedOn": at}, self._settings)
        if event is None:
            raise ValueError("no event of a ref")
        return replace(event, caught_up=True)

    def _note_ref(self, event: Event) -> None:
        known = self._refs.get(event.project or "") if event.type == "ref-updated" else None
        if known is None or event.newrev is None:
            return
        if event.newrev == NO_REVISION:
            known.pop(full_ref(event), None)
        elif full_ref(event).startswith(PREFIXES):
            known[full_ref(event)] = event.newrev

    async def _move_mark(self, since: float) -> None:
        mark = Mark(self._mark.began_at, since, {project: dict(refs) for project, refs in self._refs.items()})
        await asyncio.to_thread(self._marks.keep, self._settings.name, mark)
        self._mark = mark
        self._seen.forget(self._since - REMEMBERED_S)

    # --- times, by Gerrit's clock ---

    @property
    def _since(self) -> float:
        """Gerrit dates things in whole seconds."""
        return float(math.floor(max(self._mark.began_at, self._mark.since - MARGIN_S)))

    @property
    def _clock_ahead(self) -> float:
        """By how much our clock is ahead of Gerrit's, as far as events tell: at most the quickest one's delay."""
        return min(self._delays, default=0.0)
