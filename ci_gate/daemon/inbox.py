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
        self._events: deque[EventReceived | TimeCame] = deque()
        self._holding = False
        self.events_put = self.events_taken = 0
        self._filled = asyncio.Event()

    def now(self) -> float:
        """Seconds since the epoch; never goes backwards, whatever the machine's clock does."""
        self._last = max(self._last, self._clock())
        return self._last

    def put(self, stamped: Stamped) -> None:
        message = stamped(self.now())
        match message:
            case LayoutReplaced() | Commanded():
                self._commands.append(message)
            case EventReceived() | TimeCame():
                self._events.append(message)
                self.events_put += 1
            case _:
                self._results.append(message)
        self._filled.set()

    async def take(self) -> Input:
        """The next input; waits for one."""
        while (message := self._next()) is None:
            self._filled.clear()
            await self._filled.wait()
        return message

    def _next(self) -> Input | None:
        for lane in (self._commands, self._results):
            if lane:
                return lane.popleft()
        if not self._events or self._holding:
            return None
        self.events_taken += 1
        return self._events.popleft()

    def hold_events(self) -> None:
        """From now on events are kept, and not taken."""
        self._holding = True

    def held_events(self) -> tuple[EventReceived | TimeCame, ...]:
        """What has arrived and was not taken."""
        return tuple(self._events)

    @property
    def is_quiet(self) -> bool:
        """Is there nothing to take but events?"""
        return not self._commands and not self._results

    @property
    def has_more(self) -> bool:
        """Is there something that can be taken now?"""
        return not self.is_quiet or (bool(self._events) and not self._holding)

    @property
    def waiting_results(self) -> int:
        return len(self._results)

    @property
    def waiting_events(self) -> int:
        return len(self._events)
