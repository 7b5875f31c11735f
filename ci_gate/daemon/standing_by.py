"""Until this service leads: it waits for its turn, follows the leader's journal, and says so to whoever asks.

With a database that nobody else can reach its turn is at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace

import structlog
from aiohttp import web
from sqlalchemy import make_url

from ci_gate.config.settings import Settings
from ci_gate.daemon.admin import AdminSocket, AdminSocketError, Handler, Request
from ci_gate.daemon.following import Follower
from ci_gate.daemon.leadership import LOOK_S, Lead, Silence, try_to_lead, words_of
from ci_gate.daemon.notify import notify
from ci_gate.daemon.serving import serve
from ci_gate.daemon.starting import StartError
from ci_gate.model.item import StatusView
from ci_gate.model.operations import CommandAnswer, ConnectionHealth, ConnectionState, Operations
from ci_gate.store.estimates import FileEstimates
from ci_gate.store.journal import Journal
from ci_gate.store.leadership import Candidate, Leader, LeaderSession
from ci_gate.web.app import make_app

SHUTDOWN_S = 0.2

log = structlog.stdlib.get_logger("zuul.Leader")


@dataclass(frozen=True, slots=True)
class Turn:
    """This service leads. ``follower`` stands where the leader before did, if it was followed.

    ``from_elsewhere``: the leader before had another ``state_dir``, or another machine.
    """

    lead: Lead
    follower: Follower | None = None
    from_elsewhere: bool = False

    async def close(self) -> None:
        """Give the lead back."""
        await self.lead.close()


class Standby:
    """``address`` is the journal's. Used on the loop's thread."""

    def __init__(self, settings: Settings, who: Candidate, address: str) -> None:
        self._settings = settings
        self._who = who
        self._address = address
        self._session: LeaderSession | None = None
        self._follower: Follower | None = None
        self._leader: Leader | None = None
        self._leader_seq = 0
        self._silence = Silence(who.place)
        self._problems: dict[str, str] = {}  # by what cannot be done
        self._started_at = time.time()
        self._stopping = asyncio.Event()

    @property
    def is_stopping(self) -> bool:
        return self._stopping.is_set()

    def stop(self) -> None:
        """End ``run``."""
        self._stopping.set()

    drain = stop

    def reload(self) -> None:
        """Files are read when this service begins to lead."""

    async def run(self) -> Turn | None:
        """Until it leads; None: it was stopped. Raises StartError, and what SQLAlchemy raises at the first look."""
        if make_url(self._address).get_backend_name() != "postgresql":
            return Turn(Lead())
        self._session = session = LeaderSession(self._address)
        turn = None
        try:
            self._leader = await asyncio.to_thread(session.look)
            turn = await self._try_to_lead(session)
            if turn is None:
                async with AsyncExitStack() as parts:
                    await self._tell(parts)
                    turn = await self._wait(session)
        finally:
            if turn is None:
                await asyncio.to_thread(session.close)
        return turn

    async def _wait(self, session: LeaderSession) -> Turn | None:
        estimates = await asyncio.to_thread(FileEstimates, self._settings.state_dir)
        self._follower = follower = Follower(Journal(self._address), estimates)
        while not self._stopping.is_set():
            if (turn := await self._look(session)) is not None:
                return turn
            await self._follow(follower)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._stopping.wait()
        await asyncio.to_thread(follower.close)
        return None

    async def _look(self, session: LeaderSession) -> Turn | None:
        try:
            self._leader = await asyncio.to_thread(session.look)
            self._leader_seq = await asyncio.to_thread(session.last_seq)
            turn = await self._try_to_lead(session)
        except Exception as problem:  # noqa: BLE001  # whatever it is: nobody can lead before it is mended
            self._silence.out_of_sight()
            with suppress(Exception):
                await asyncio.to_thread(session.close)
            self._note("see the leader", problem)
            return None
        self._mended("see the leader")
        return turn

    async def _try_to_lead(self, session: LeaderSession) -> Turn | None:
        before = self._leader
        if not self._silence.seen(before, time.monotonic()):
            return None
        lead = await try_to_lead(session, before, self._who)
        if lead is None:
            return None
        elsewhere = before is not None and before.place != self._who.place
        log.info("leads from now on", epoch=lead.epoch, before=_end_of(before))
        return Turn(lead, self._follower, elsewhere)

    async def _follow(self, follower: Follower) -> None:
        try:
            await asyncio.to_thread(follower.follow)
        except Exception as problem:  # noqa: BLE001  # as above; what was followed so far stands
            await asyncio.to_thread(follower.close)
            self._note("follow the journal", problem)
        else:
            self._mended("follow the journal")

    def _note(self, what: str, problem: Exception) -> None:
        reason = words_of(problem, self._address)
        if self._problems.get(what) != reason:
            log.warning("this standby cannot", what=what, reason=reason)
        self._problems[what] = reason

    def _mended(self, what: str) -> None:
        if self._problems.pop(what, None) is not None:
            log.info("this standby can again", what=what)

    # --- what it says of itself ---

    async def _tell(self, parts: AsyncExitStack) -> None:
        settings = self._settings
        log.info("stands by", leader=self._leader.holder if self._leader else "")
        if settings.gearman_server.start:
            log.warning(
                "the leader's own Gearman server ends with it: builds that run then run once more; "
                "run ci-gate gearman or gearmand on its own, and set [gearman_server] start = false"
            )
        admin = AdminSocket(settings.state_dir, _SameAnswer(self._refuse))
        try:
            await admin.start()
        except AdminSocketError as problem:
            raise StartError(str(problem)) from problem
        parts.push_async_callback(admin.stop)
        await serve(self._web_app(), settings.web, parts, shutdown_s=SHUTDOWN_S)
        notify("READY=1\nSTATUS=stands by")

    def _web_app(self) -> web.Application:
        routes = leader_routes(lambda: False)
        return make_app(view=self._view, operations=self._operations, settings=self._settings.web, routes=routes)

    def _view(self) -> StatusView:
        seen = self._follower.view if self._follower else StatusView(())
        return replace(seen, message=" ".join(self._messages()))

    def _messages(self) -> Iterator[str]:
        leader = self._leader
        if leader is None:
            yield "This service stands by."
        else:
            since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(leader.since))
            yield f"This service stands by: {leader.holder} leads since {since}."
        yield from (f"It cannot {what}: {reason}." for what, reason in self._problems.items())
        if self._behind:
            yield f"It is {self._behind} steps behind."

    @property
    def _behind(self) -> int:
        return max(0, self._leader_seq - self._follower.seq) if self._follower else 0

    def _operations(self) -> Operations:
        state = ConnectionState.CONNECTING if self._problems else ConnectionState.UP
        detail = "; ".join(self._problems.values()) or f"stands by, {self._behind} steps behind"
        return Operations(self._started_at, (ConnectionHealth("leader", "database", state, None, detail),))

    async def _refuse(self, _: Request) -> CommandAnswer:
        holder = self._leader.holder if self._leader else "another service"
        return CommandAnswer(done=False, lines=(f"this service stands by; ask the one that leads: {holder}",))


class _SameAnswer(Mapping[str, Handler]):
    """One handler for every command there is."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    def __getitem__(self, _: str) -> Handler:
        return self._handler

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def _end_of(leader: Leader | None) -> str:
    if leader is None:
        return "nobody"
    return f"{leader.holder}, which {'has stopped' if leader.released else 'is gone'}"


def leader_routes(leads: Callable[[], bool]) -> list[web.RouteDef]:
    """``/healthz/leader``: 200 where the leader is, 503 where one only stands by, for load balancers."""

    async def leader(_: web.Request) -> web.Response:
        is_leader = leads()
        text = "leads\n" if is_leader else "stands by\n"
        return web.Response(text=text, status=200 if is_leader else 503, headers={"Cache-Control": "no-store"})

    return [web.get(r"/healthz/leader{slash:/?}", leader)]
