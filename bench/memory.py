"""What long queues cost in memory. ``python -m bench.memory QUEUES ITEMS WINDOW`` fills them and tells its own size."""

from __future__ import annotations

import asyncio
import gc
import re
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

from bench.figures import Figure
from bench.scheduling import Bench

KIB = 1024


async def measure() -> list[Figure]:
    _, full = await _sizes(queues=100, items=10_000, window=20)
    empty, long = await _sizes(queues=1, items=10_000, window=1)
    idle = (long - empty) / 10_000
    return [
        Figure("10,000 items in 100 queues, resident", "MB", [full / KIB], "< 300"),
        Figure("10,000 items in one queue: an idle item", "KB", [idle], "< 6"),
    ]


async def _sizes(queues: int, items: int, window: int) -> tuple[int, int]:
    """KiB before and after, of a process of its own."""
    command = [sys.executable, "-m", "bench.memory", str(queues), str(items), str(window)]
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
    out, _ = await process.communicate()
    assert process.returncode == 0
    before, after = out.split()
    return int(before), int(after)


def fill(queues: int, items: int, window: int) -> None:
    bench = Bench(queues, window)
    before = _resident()
    for _ in range(items):
        bench.join()
    gc.collect()
    print(before, _resident())


def _resident() -> int:
    """KiB now. The largest size ever would count the process that started this one."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1])


if __name__ == "__main__":
    fill(*map(int, sys.argv[1:]))
