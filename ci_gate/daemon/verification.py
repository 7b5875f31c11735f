"""Was a change that we reported really merged? Gerrit has to say so, and its branch has to have it (gerrit-wire.md 5).

Gerrit may submit a little after it took the report, and what we fetch from may be a copy that lags. So both are asked
again for a while, from the first answer on; a Gerrit that does not answer at all is asked for as long as it takes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from ci_gate.daemon.waits import Waits
from ci_gate.gerrit.query import QueryFailedError
from ci_gate.merger.interface import Merger
from ci_gate.model.change import ChangeDetails
from ci_gate.model.merge import UpdateRequest
from ci_gate.scheduler.effects import VerifySubmit

SUBMIT_S = 60.0  # for Gerrit to get from a report that it took to a merged change
FIRST_PAUSE_S = 1.0
QUERY_DEADLINE_S = 40.0
FETCH_DEADLINE_S = 300.0

log = structlog.stdlib.get_logger("zuul.Outbox")

Query = Callable[[str, str], Awaitable[ChangeDetails | None]]


@dataclass(frozen=True, slots=True)
class Verified:
    """Was it merged? ``reason`` says why not, for people. ``as_built``: its branch has what was tested."""

    merged: bool
    reason: str = ""
    as_built: bool = False


@dataclass(frozen=True, slots=True)
class Verifier:
    """``query`` (connection, number) asks Gerrit. Times are seconds; ``interval_s`` is the longest pause."""

    query: Query
    merger: Merger
    waits: Waits
    replication_s: float
    interval_s: float
    submit_s: float = SUBMIT_S

    async def verify(self, effect: VerifySubmit) -> Verified:
        """Asks until it is known, or has taken too long."""
        loop = asyncio.get_running_loop()
        pause = min(FIRST_PAUSE_S, self.interval_s)
        submit_ends = replication_ends = None
        while True:
            details, answered = await self._look(effect)
            now = loop.time()
            if answered:
                if details is None:
                    return Verified(False, "Gerrit does not show the change any more")
                if details.status == "MERGED":
                    if await self._is_in_branch(effect, details):
                        return Verified(True, as_built=await self._is_as_built(effect))
                    replication_ends = replication_ends or now + self.replication_s
                    if now >= replication_ends:
                        return Verified(False, f"Gerrit merged it, but branch {effect.branch} does not have it")
                elif not details.is_open:
                    return Verified(False, f"its status is {details.status}")
                else:
                    submit_ends = submit_ends or now + self.submit_s
                    if now >= submit_ends:
                        reason = f"Gerrit took the report and did not submit it; its status is {details.status}"
                        return Verified(False, reason)
            await asyncio.sleep(pause)
            pause = min(2 * pause, self.interval_s)

    async def _look(self, effect: VerifySubmit) -> tuple[ChangeDetails | None, bool]:
        try:
            async with self.waits.of(
                f"status of change {effect.number}", f"Gerrit {effect.connection}", QUERY_DEADLINE_S
            ):
                return await self.query(effect.connection, effect.number), True
        except (QueryFailedError, TimeoutError) as problem:
            log.warning("cannot tell yet whether it was merged", change=effect.number, reason=str(problem))
            return None, False

    async def _is_in_branch(self, effect: VerifySubmit, details: ChangeDetails) -> bool:
        """By ancestry: somebody else's push proves nothing, and a branch that had it before need not move."""
        revision = details.patch_sets[-1].revision
        project = UpdateRequest(f"branch {effect.branch}", effect.connection, effect.project)
        try:
            async with self.waits.of(f"branch {effect.branch} of {effect.project}", "merger", FETCH_DEADLINE_S):
                return await self.merger.contains(project, effect.branch, revision)
        except Exception as problem:  # noqa: BLE001  # whatever keeps us from looking is a reason to look again
            log.warning("cannot look into the branch", project=effect.project, reason=str(problem))
            return False

    async def _is_as_built(self, effect: VerifySubmit) -> bool:
        if effect.built is None:
            return False
        project = UpdateRequest(f"branch {effect.branch}", effect.connection, effect.project)
        try:
            async with self.waits.of(f"content of {effect.branch} of {effect.project}", "merger", FETCH_DEADLINE_S):
                return await self.merger.has_content(project, effect.branch, effect.built)
        except Exception as problem:  # noqa: BLE001  # what cannot be told is tested again
            log.warning("cannot compare with the branch", project=effect.project, reason=str(problem))
            return False
