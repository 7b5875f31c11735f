"""One ordered inbox for everything that the world tells (scheduler.md 2).

Operators' commands go first. Results go before events: they can stop work, events create it. Used on the loop's
thread only.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from ci_gate.scheduler.inputs import Commanded, EventReceived, Input, LayoutReplaced, TimeCame

Stamped = Callable[[float], Input]


class Inbox:
    """``put`` takes a function from the time to the input, so that the inbox alone reads the clock."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._last = 0.0
        self._commands: deque[Input] = deque()
        self._results: deque[Input] = deque()
        self._events: deque[Input] = deque()
        self._filled = asyncio.Event()

    def now(self) -> float:
        """Seconds since the epoch; never goes backwards, whatever the machine's clock does."""
        self._last = max(self._last, self._clock())
        return self._last

    def put(self, stamped: Stamped) -> None:
        message = stamped(self.now())
        self._lane(message).append(message)
        self._filled.set()

    def _lane(self, message: Input) -> deque[Input]:
        match message:
            case LayoutReplaced() | Commanded():
                return self._commands
            case EventReceived() | TimeCame():
                return self._events
            case _:
                return self._results

    async def take(self) -> Input:
        """The next input; waits for one."""
        while not (waiting := self._commands or self._results or self._events):
            self._filled.clear()
            await self._filled.wait()
        return waiting.popleft()

    @property
    def waiting_results(self) -> int:
        return len(self._results)

    @property
    def waiting_events(self) -> int:
        return len(self._events)
