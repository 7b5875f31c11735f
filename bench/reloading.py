"""How long the service answers nobody while it reads a layout of 1,638 projects again."""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path

from bench.figures import Figure
from bench.latency import EXAMPLES
from bench.layouts import FUNCTIONS, LAYOUT, stand_ins
from ci_gate.sandbox.world import World

RUNS = 5
PAUSE_S = 0.002
QUIET_S = 2.0
REQUEST = b"GET /nothing-is-here HTTP/1.1\r\nHost: localhost\r\n\r\n"
LONGEST_RELOAD_S = 60.0


async def measure() -> list[Figure]:
    if not LAYOUT.exists():
        print("no real layout here: skipped", file=sys.stderr)
        return []
    stalls, took = [], []
    async with _world() as world:
        quiet = [await _longest_wait(world, asyncio.sleep(QUIET_S))]
        for run in range(RUNS):
            begun = time.monotonic()
            world.hang_up()
            stalls.append(await _longest_wait(world, _reloaded(world, run + 1)))
            took.append(time.monotonic() - begun)
    return [
        Figure("the longest time without an answer, with nothing to do", "ms", quiet, "–"),
        Figure("the same while a layout with 1,638 projects is read again", "ms", stalls, "< 50"),
        Figure("SIGHUP → that layout in force", "s", took, "–"),
    ]


@asynccontextmanager
async def _world() -> AsyncIterator[World]:
    text = LAYOUT.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="ci-gate-bench-") as folder:
        (Path(folder) / FUNCTIONS).write_text(stand_ins(text))
        settings = {("smtp", "server"): "localhost"}
        async with World(Path(folder), EXAMPLES, layout=text, settings=settings) as world:
            await world.start_service()
            yield world


async def _reloaded(world: World, count: int) -> None:
    async with asyncio.timeout(LONGEST_RELOAD_S):
        while world.log.read_text().count("reloaded ") < count:  # noqa: ASYNC110  # another process writes it
            await asyncio.sleep(0.05)


async def _longest_wait(world: World, until: Coroutine[None, None, None]) -> float:
    """Milliseconds, of one request after the other, each answered on the loop that decides."""
    ended = asyncio.create_task(until)
    reader, writer = await asyncio.open_connection("localhost", world.web_port)
    longest = 0.0
    while not ended.done():
        begun = time.monotonic()
        writer.write(REQUEST)
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(re.search(rb"Content-Length: (\d+)", head)[1]))
        longest = max(longest, time.monotonic() - begun)
        await asyncio.sleep(PAUSE_S)
    writer.close()
    await ended
    return longest * 1000
