"""Every wait on the outside has a name, an owner and an end; this is the list of those under way.

The watchdog writes the long ones to the log, and the status page shows them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog

from ci_gate.model.operations import Wait

LONG_S = 10.0
LOOK_EVERY_S = 5.0

log = structlog.stdlib.get_logger("zuul.Watchdog")


class Waits:
    """Used on the loop's thread only."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._under_way: dict[int, Wait] = {}
        self._begun = 0

    @asynccontextmanager
    async def of(self, name: str, owner: str, deadline_s: float) -> AsyncIterator[None]:
        """The call inside ends by ``TimeoutError`` when its time is over."""
        self._begun += 1
        number = self._begun
        self._under_way[number] = Wait(name, owner, self._clock(), deadline_s)
        try:
            async with asyncio.timeout(deadline_s):
                yield
        finally:
            del self._under_way[number]

    def under_way(self) -> tuple[Wait, ...]:
        """Oldest first."""
        return tuple(self._under_way.values())

    async def watch(self) -> None:
        """Say once of each call that it is taking long, and again when it has ended."""
        told: dict[int, Wait] = {}
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            now = self._clock()
            for number, wait in self._under_way.items():
                if number not in told and now - wait.since >= LONG_S:
                    told[number] = wait
                    log.warning("waiting for long", wait=wait.name, owner=wait.owner, ends_within_s=wait.deadline_s)
            for number in [each for each in told if each not in self._under_way]:
                wait = told.pop(number)
                log.info("long wait ended", wait=wait.name, owner=wait.owner, took_s=round(now - wait.since))
