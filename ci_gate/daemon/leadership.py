"""The right to act, which one of the services on a database has: got, kept by renewals, lost, given back.

A leader may act for ``LEASE_S`` after the beginning of its last renewal, by a clock that goes on while the process is
stopped or the machine sleeps. Whoever stands by takes over when it has seen no renewal for ``SILENT_S`` by its own
clock, which is longer: no two ever act at the same time, whatever their machines' times of day are. What the leader
before wrote is fenced off by the epoch (``store/journal.py``).
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import structlog

from ci_gate.model.operations import ConnectionHealth, ConnectionState
from ci_gate.sql.address import without_secrets
from ci_gate.store.leadership import Candidate, Leader, LeaderSession

RENEW_S = 1.0
LEASE_S = 4.0
SILENT_S = 5.0
LOOK_S = 0.5
RELEASE_S = 3.0
CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
BOOT = Path("/proc/sys/kernel/random/boot_id")

log = structlog.stdlib.get_logger("zuul.Leader")


def clock() -> float:
    """Seconds; goes on while this process is stopped and while the machine sleeps."""
    return time.clock_gettime(CLOCK)


class Lead:
    """The right to act. ``holds`` may be asked in any thread, the rest is for the loop's thread.

    This one is of a service that nobody can stand by for: it always has it.
    """

    epoch = 0
    is_shared = False  # may somebody else have it next?

    def __init__(self) -> None:
        self.lost = ""
        self._renewed: list[Callable[[], None]] = []
        self._told_lost: list[Callable[[], None]] = []

    @property
    def health(self) -> ConnectionHealth | None:
        """For the status page; None where there is nothing to tell."""
        return None

    def holds(self) -> bool:
        """May something leave right now?"""
        return not self.lost

    def when_renewed(self, call: Callable[[], None]) -> None:
        """Each time that it may act again after it could not."""
        self._renewed.append(call)

    def when_lost(self, call: Callable[[], None]) -> None:
        """Once, when it will never act again; at once if that is so already."""
        self._told_lost.append(call)
        if self.lost:
            call()

    def lose(self, reason: str) -> None:
        """For good: somebody else leads."""
        if not self.lost:
            self.lost = reason
            log.error("another service leads now; this one sends nothing more and ends", reason=reason)
            for each in self._told_lost:
                each()

    async def close(self) -> None:
        """Give it back, so that somebody else may have it at once."""


class SharedLead(Lead):
    """Renewed in the database, from the loop: a loop that stands still leads nobody."""

    is_shared = True

    def __init__(self, session: LeaderSession, epoch: int, taken_at: float) -> None:
        """``taken_at``: by ``clock``, before it was taken."""
        super().__init__()
        self.epoch = epoch
        self._session = session
        self._thread = ThreadPoolExecutor(1, "leader")
        self._until = taken_at + LEASE_S
        self._since = time.time()
        self._problem = ""
        self._could_act = True
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._renew(), name="renewal"), loop.create_task(self._watch(), name="lease")]

    @property
    def health(self) -> ConnectionHealth:
        state = ConnectionState.UP if self.holds() else ConnectionState.CONNECTING
        return ConnectionHealth("leader", "database", state, self._since, self._problem or f"leads, epoch {self.epoch}")

    def holds(self) -> bool:
        return not self.lost and clock() < self._until

    async def close(self) -> None:
        tasks, self._tasks = self._tasks, []
        if not tasks:
            return
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        loop = asyncio.get_running_loop()
        if not self.lost:
            self._until = 0.0
            try:
                async with asyncio.timeout(RELEASE_S):
                    await loop.run_in_executor(self._thread, self._session.release, self.epoch)
            except Exception as problem:  # noqa: BLE001  # whatever it is: the others find out by themselves
                reason = words_of(problem, self._session.dburi)
                log.warning("could not tell that this service has stopped", reason=reason)
        loop.run_in_executor(self._thread, self._session.close)
        self._thread.shutdown(wait=False)

    async def _renew(self) -> None:
        loop = asyncio.get_running_loop()
        while not self.lost:
            begun = clock()
            try:
                is_mine = await loop.run_in_executor(self._thread, self._session.renew, self.epoch)
            except Exception as problem:  # noqa: BLE001  # as long as the database is away nothing leaves
                self._problem = words_of(problem, self._session.dburi)
                await loop.run_in_executor(self._thread, _close, self._session)
                await asyncio.sleep(LOOK_S)
                continue
            if not is_mine:
                self.lose("the database has another epoch")
                return
            self._until, self._problem = begun + LEASE_S, ""
            self._look()
            await asyncio.sleep(RENEW_S)

    async def _watch(self) -> None:
        """Tells of a lease that has run out even while the renewal hangs."""
        while True:
            await asyncio.sleep(LOOK_S)
            self._look()

    def _look(self) -> None:
        can_act = self.holds()
        if can_act == self._could_act or self.lost:
            return
        self._could_act, self._since = can_act, time.time()
        if can_act:
            log.info("the database confirms that this service leads; it goes on")
            for each in self._renewed:
                each()
        else:
            reason = self._problem or "the database does not answer"
            log.error("cannot confirm that this service leads; nothing is sent until it can", reason=reason)


class Silence:
    """Follows what is seen of a leader, and says when it may be taken for dead."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._last: Leader | None = None
        self._since = 0.0

    def seen(self, leader: Leader | None, now: float) -> bool:
        """May its place be taken? ``now`` by a clock of this process's alone."""
        if leader is None or leader.released or leader.place == self._place:
            return True  # nobody; one that stopped; one that was here before us, and is dead since we could start
        if leader != self._last:
            self._last, self._since = leader, now
        return now - self._since >= SILENT_S

    def out_of_sight(self) -> None:
        """The database was away: the leader could not renew anything either."""
        self._last = None


def candidate(state_dir: Path, web: str, lock_file: int) -> Candidate:
    """Us. The place is this machine, since it was started, and the file that only one process can have locked."""
    found = os.fstat(lock_file)
    boot = BOOT.read_text(encoding="ascii").strip() if BOOT.exists() else ""
    place = f"{boot} {found.st_dev}:{found.st_ino}"
    return Candidate(place, f"{socket.gethostname()} (process {os.getpid()}, {web}, {state_dir})"[:400])


async def try_to_lead(session: LeaderSession, seen: Leader | None, who: Candidate) -> SharedLead | None:
    """None: somebody was quicker. Raises what SQLAlchemy raises."""
    taken_at = clock()
    epoch = await asyncio.to_thread(session.take, seen, who, time.time())
    return SharedLead(session, epoch, taken_at) if epoch is not None else None


def _close(session: LeaderSession) -> None:
    with suppress(Exception):
        session.close()


def words_of(problem: Exception, dburi: str) -> str:
    """One line without secrets."""
    lines = str(problem).strip().splitlines()
    return without_secrets(lines[0], dburi) if lines else type(problem).__name__
