"""Builds that wait at the job server although workers that offer them have nothing to do (gearman-jenkins.md 6.2).

A Jenkins that is about to shut down, a node that is locked, an executor that hangs: it stays registered and takes
nothing. Nothing is done about it but telling; the build goes to whoever takes it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from ci_gate.gearman import inquiry
from ci_gate.gearman.inquiry import InquiryError
from ci_gate.gearman.times import LauncherTimes
from ci_gate.job_servers import Address
from ci_gate.model.operations import Stall

log = structlog.stdlib.get_logger("zuul.Gearman")


@dataclass(frozen=True, slots=True)
class LongWait:
    """Builds of one function that have waited for long; ``oldest_s`` is how long the first of them has."""

    builds: int
    oldest_s: float


class StallWatch:
    """``waiting`` tells long waits by function; ``told`` hears whenever stalls have changed, an empty list included."""

    def __init__(
        self,
        waiting: Callable[[], Mapping[str, LongWait]],
        times: LauncherTimes,
        told: Callable[[Sequence[Stall]], None],
    ) -> None:
        self.stalls: tuple[Stall, ...] = ()
        self._waiting = waiting
        self._times = times
        self._told = told

    async def watch(self, server: Address) -> None:
        """Until it is cancelled."""
        while True:
            await asyncio.sleep(self._times.stall_look)
            waits = self._waiting()
            try:
                idle = await inquiry.idle_workers(server, waits, silence_s=self._times.identify) if waits else {}
            except InquiryError as error:
                log.info("cannot ask which workers are idle", reason=str(error))
                continue
            # What was taken meanwhile waits no more.
            self._set({name: wait for name, wait in self._waiting().items() if idle.get(name)}, idle)

    def clear(self) -> None:
        """Nothing waits there any more: the connection is lost."""
        self._set({}, {})

    def _set(self, waits: Mapping[str, LongWait], idle: Mapping[str, int]) -> None:
        before, now = {each.function for each in self.stalls}, time.time()
        stalls = tuple(
            Stall(name, wait.builds, now - wait.oldest_s, idle[name]) for name, wait in sorted(waits.items())
        )
        for each in stalls:
            if each.function not in before:
                log.warning(
                    "builds wait although workers are idle; look at what keeps these workers from taking them",
                    function=each.function,
                    builds=each.builds,
                    oldest_s=round(now - each.since),
                    idle_workers=each.idle_workers,
                )
        for name in sorted(before - waits.keys()):
            log.info("no build waits in vain any more", function=name)
        if stalls or self.stalls:
            self.stalls = stalls
            self._told(stalls)
