"""Runs steps: all at the same time, each once what it needs was found good, and each within a deadline.

A thread that hangs in a library holds nobody up: not the step, whose time ends, and not the end of the process.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

from ci_gate.doctor.check import Check, Finding, Mark, Step, not_tried, unknown, wrong

DEADLINE_S = 10.0

T = TypeVar("T")


class Once(Generic[T]):
    """What several steps ask for, found out once. Who loses patience leaves the others their answer."""

    def __init__(self, make: Callable[[], Awaitable[T]]) -> None:
        self._make = make
        self._task: asyncio.Task[T] | None = None

    async def __call__(self) -> T:
        if self._task is None:
            self._task = asyncio.create_task(self._made())
            self._task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(self._task)

    async def _made(self) -> T:
        return await self._make()


class UnwaitedThreads(ThreadPoolExecutor):
    """A thread for each call, which the end of the process does not wait for: for a loop's default executor."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        future: Future[T] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as problem:  # noqa: BLE001  # whoever waits for it gets it
                future.set_exception(problem)

        threading.Thread(target=run, daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        super().shutdown(wait=False, cancel_futures=cancel_futures)


async def run(steps: Sequence[Step], *, deadline_s: float = DEADLINE_S) -> AsyncGenerator[Check, None]:
    """What they find, in their order, each as soon as it is known with all before it."""
    tasks: dict[str, asyncio.Task[Check | None]] = {}
    for step in steps:
        needed = [tasks[each] for each in step.prerequisites if each in tasks]
        tasks[step.key] = asyncio.create_task(_check(step, needed, deadline_s), name=step.key)
    try:
        for task in tasks.values():
            check = await task
            if check is not None:
                yield check
    finally:
        for task in tasks.values():
            task.cancel()


async def _check(step: Step, needed: Sequence[asyncio.Task[Check | None]], deadline_s: float) -> Check | None:
    for task in needed:
        before = await task
        if before is not None and before.finding.mark in (Mark.WRONG, Mark.NOT_TRIED):
            where = before.name if before.group == step.group else f"{before.group}: {before.name}"
            return Check(step.group, step.name, not_tried(f"not tried: it needs {where}"))
    begun = time.monotonic()
    finding = await _finding(step, deadline_s)
    return None if finding is None else Check(step.group, step.name, finding, time.monotonic() - begun)


async def _finding(step: Step, deadline_s: float) -> Finding | None:
    try:
        async with asyncio.timeout(deadline_s):
            return await step.look()
    except TimeoutError:
        return wrong(f"no answer within {deadline_s:g} s", "look for a firewall or an overloaded server in between")
    except Exception as problem:  # noqa: BLE001  # one check that breaks must not hide the others
        return unknown(f"the check itself failed: {type(problem).__name__}: {problem}", "please report this")
