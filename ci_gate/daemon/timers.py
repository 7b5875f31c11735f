"""Wakes the scheduler at the times that the layout's timer triggers name."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from ci_gate.daemon.inbox import Inbox
from ci_gate.daemon.timespec import Timespec
from ci_gate.model.layout import Layout
from ci_gate.scheduler.inputs import TimeCame
from ci_gate.scheduler.timing import TIMER

LONGEST_SLEEP_S = 30.0  # the machine's clock may be set meanwhile

log = structlog.stdlib.get_logger("zuul.TimerTrigger")


class Timers:
    """``use`` takes the layout that is in force; ``run`` never ends."""

    def __init__(self, inbox: Inbox, clock: Callable[[], float] = time.time) -> None:
        self._inbox = inbox
        self._clock = clock
        self._due: dict[str, float] = {}
        self._changed = asyncio.Event()

    def use(self, layout: Layout) -> None:
        """Specifications that were there before keep their next time."""
        triggers = (each for pipeline in layout.pipelines for each in pipeline.triggers if each.trigger == TIMER)
        texts = dict.fromkeys(text for each in triggers for text in each.timespecs)
        now = self._clock()
        self._due = {text: due for text in texts if (due := self._due.get(text) or _next(text, now)) is not None}
        self._changed.set()

    async def run(self) -> None:
        while True:
            self._changed.clear()
            wait = min([LONGEST_SLEEP_S, *(each - self._clock() for each in self._due.values())])
            try:
                async with asyncio.timeout(max(0.0, wait)):
                    await self._changed.wait()
            except TimeoutError:
                self._fire()

    def _fire(self) -> None:
        """A time that passed while the machine slept fires once."""
        now = self._clock()
        for text in [text for text, due in self._due.items() if due <= now]:
            log.info("timer", time=text)
            self._tell(text)
            following = _next(text, now)
            if following is None:
                del self._due[text]
            else:
                self._due[text] = following

    def _tell(self, text: str) -> None:
        self._inbox.put(lambda at: TimeCame(at, text))


def _next(text: str, now: float) -> float | None:
    return Timespec.parse(text).next_after(now)
