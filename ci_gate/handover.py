"""From threads to the loop's thread: calls in their order, many by one waking.

For the adapters, whose libraries read in threads of their own. Waking the loop once for each packet or line would
cost more than dealing with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable
from typing import Any


class Handover:
    """``post`` may be called from any thread; the calls are made on the loop's thread, in the order of posting."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()

    def post(self, call: Callable[..., object], *arguments: Any) -> None:
        """Nothing happens if the loop is closed: nobody is there any more to hear it."""
        with self._lock:
            self._calls.append((call, arguments))
            first = len(self._calls) == 1
        if first:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._make_calls)

    def _make_calls(self) -> None:
        with self._lock:
            calls, self._calls = self._calls, deque()
        while calls:
            call, arguments = calls.popleft()
            try:
                call(*arguments)
            except Exception as problem:  # noqa: BLE001  # as the loop itself treats callbacks: the others are made
                self._loop.call_exception_handler({"message": f"error in {call!r}", "exception": problem})
