"""Turns for git clients: so many at once, so many waiting, and nothing done for those who have left.

Used by ``web/git``. aiohttp does not tell a handler that its client has closed the connection; while nothing is read
or written, only looking finds out.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import hdrs, web

from ci_gate.web.git_files import NOT_CACHED

RETRY_AFTER_S = 30
LOOK_S = 0.5


class Slots:
    """``at_once`` requests hold a slot; at most ``waiting`` more wait for one, ``queue_s`` seconds at most."""

    def __init__(self, at_once: int, waiting: int, queue_s: float) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._room = waiting
        self._queue_s = queue_s

    @asynccontextmanager
    async def hold(self, request: web.Request) -> AsyncIterator[None]:
        """Raises 503 when there is no slot in time, ConnectionResetError when the client leaves before."""
        await self._acquire(request)
        try:
            yield
        finally:
            self._free.release()

    async def _acquire(self, request: web.Request) -> None:
        if self._room == 0:
            raise _busy()
        self._room -= 1
        try:
            async with asyncio.timeout(self._queue_s) as timeout, end_when_gone(request, timeout):
                await self._free.acquire()
        except TimeoutError:
            if is_gone(request):
                raise ConnectionResetError from None
            raise _busy() from None
        finally:
            self._room += 1


def is_gone(request: web.Request) -> bool:
    """Has the client closed its connection?"""
    return request.transport is None or request.transport.is_closing()


@asynccontextmanager
async def end_when_gone(request: web.Request, ending: asyncio.Timeout) -> AsyncIterator[None]:
    """While the block runs: lets ``ending`` expire as soon as the client is gone."""
    watching = asyncio.create_task(_watch(request, ending))
    try:
        yield
    finally:
        watching.cancel()


async def _watch(request: web.Request, ending: asyncio.Timeout) -> None:
    while True:
        await asyncio.sleep(LOOK_S)
        if is_gone(request):
            ending.reschedule(asyncio.get_running_loop().time())


def _busy() -> web.HTTPServiceUnavailable:
    headers = NOT_CACHED | {hdrs.RETRY_AFTER: str(RETRY_AFTER_S)}
    return web.HTTPServiceUnavailable(text="too many clients at a time: try again later\n", headers=headers)
