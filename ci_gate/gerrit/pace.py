"""How many commands a Gerrit is given: so many at a time, so many a minute, and fewer while it is slow or refuses.

The budget is what public servers expect of a client (gerrit-wire.md 11). Used on the loop's thread only.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from ci_gate.model.operations import CommandLoad

SLOW_S = 3.0  # a command that takes longer than this is a reason to ask for less at a time
QUICK_IN_A_ROW = 8  # so many that were not slow, and one more may be asked at a time
REFUSED_FOR_S = 300.0
MINUTE_S, SECOND_S = 60.0, 1.0
MOST_COUNTED = 10_000  # where there is no budget


class Pace:
    """Turns for commands, in the order of asking; urgent ones first. ``clock`` gives seconds."""

    def __init__(self, name: str, channels: int, budget: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._most, self._channels = channels, channels
        self._budget = budget
        self._per_second = max(1, math.ceil(budget / MINUTE_S))
        self._clock = clock
        self._under_way = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._urgent: deque[asyncio.Future[None]] = deque()
        self._begun: deque[float] = deque(maxlen=budget or MOST_COUNTED)
        self._alarm: asyncio.TimerHandle | None = None
        self._quick = 0
        self._held_back = 0
        self._slowed_at = -math.inf
        self._refused_until = -math.inf
        self._refused_at = channels

    @property
    def load(self) -> CommandLoad:
        since = self._clock() - MINUTE_S
        return CommandLoad(
            self._name,
            under_way=self._under_way,
            waiting=len(self._waiting) + len(self._urgent),
            channels=self._channels,
            most_channels=self._most,
            last_minute=sum(each > since for each in self._begun),
            budget=self._budget,
            held_back=self._held_back,
        )

    @asynccontextmanager
    async def turn(self, *, urgent: bool = False) -> AsyncIterator[None]:
        """Waits until one more command may be sent."""
        await self._wait(self._urgent if urgent else self._waiting)
        try:
            yield
        finally:
            self._under_way -= 1
            self._let_in()

    async def _wait(self, queue: deque[asyncio.Future[None]]) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        self._let_in()
        if not turn.done():
            self._held_back += 1
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it had come together with the cancellation
                self._under_way -= 1
                self._let_in()
            raise

    def _let_in(self) -> None:
        while self._under_way < self._channels and (turn := self._first()) is not None:
            wait_s = self._wait_s()
            if wait_s > 0:
                self._look_again_in(wait_s)
                return
            (self._urgent or self._waiting).popleft()
            self._under_way += 1
            self._begun.append(self._clock())
            turn.set_result(None)

    def _first(self) -> asyncio.Future[None] | None:
        for queue in (self._urgent, self._waiting):
            while queue and queue[0].done():  # cancelled
                queue.popleft()
            if queue:
                return queue[0]
        return None

    def _wait_s(self) -> float:
        """Until the budget allows one more: none of the last second's or the last minute's is left over."""
        if not self._budget:
            return 0.0
        free_at = -math.inf
        if len(self._begun) >= self._per_second:
            free_at = self._begun[-self._per_second] + SECOND_S
        if len(self._begun) >= self._budget:
            free_at = max(free_at, self._begun[0] + MINUTE_S)
        return free_at - self._clock()

    def _look_again_in(self, seconds: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = asyncio.get_running_loop().call_later(seconds, self._let_in)

    # --- how it went ---

    def took(self, seconds: float) -> None:
        """A command that began so long ago has been answered, or given up."""
        if seconds < SLOW_S:
            self._quick += 1
            if self._quick >= QUICK_IN_A_ROW:
                self._allow(self._channels + 1)
        elif self._clock() - seconds >= self._slowed_at:  # one that began before is no second reason
            self._slowed_at = self._clock()
            self._allow(self._channels // 2)

    def refused(self) -> bool:
        """Gerrit refused a channel. Is there hope that it gives one when those under way have ended?"""
        others = self._under_way - 1
        if others < 1:
            return False
        self._refused_until, self._refused_at = self._clock() + REFUSED_FOR_S, others
        self._allow(others)
        return True

    def _allow(self, channels: int) -> None:
        self._quick = 0
        most = min(self._most, self._refused_at) if self._clock() < self._refused_until else self._most
        self._channels = max(1, min(channels, most))
        self._let_in()
