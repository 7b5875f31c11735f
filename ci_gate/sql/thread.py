"""One thread for the calls to one database, one at a time and in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


class CallThread:
    """A daemon thread: one that a database keeps waiting keeps nobody from exiting."""

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        Thread(target=self._work, name=name, daemon=True).start()

    async def run(self, call: Callable[[], T]) -> T:
        """What the call returns or raises. A caller that gives up leaves it to its end: the next one waits for that.

        A call whose turn has not come when its caller gives up is not made.
        """
        future: Future[T] = Future()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(call())
            except BaseException as problem:  # noqa: BLE001  # raised again where it is waited for
                future.set_exception(problem)

        self._calls.put(work)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """It ends after the calls that were asked for."""
        self._calls.put(None)

    def _work(self) -> None:
        while (work := self._calls.get()) is not None:
            work()
