"""From the death or the stop of the leader to a standby that leads and listens; PostgreSQL is a server of its own."""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from pathlib import Path

from bench.figures import Figure

TESTS = Path(__file__).parent.parent / "tests"
RUNS = 3


async def measure() -> list[Figure]:
    sys.path[:0] = [str(TESTS), str(TESTS / "standby")]
    from database_servers import PostgreSQL  # noqa: PLC0415  # the tests' own, found by the line above

    server = PostgreSQL()
    server.start()
    try:
        killed = [await _takeover(server.new_database(), signal.SIGKILL) for _ in range(RUNS)]
        stopped = [await _takeover(server.new_database(), signal.SIGTERM) for _ in range(RUNS)]
    finally:
        server.remove()
    return [
        Figure("leader killed → the standby leads and has its first build", "s", killed, "< 10"),
        Figure("leader stopped → the same", "s", stopped, "< 5"),
    ]


async def _takeover(dburi: str, how: signal.Signals) -> float:
    from standby_site import pair, when  # noqa: PLC0415  # as above

    with tempfile.TemporaryDirectory(prefix="ci-gate-bench-") as folder:
        async with pair(Path(folder), dburi) as two:
            first = two.upload()
            await two.vote(first.number, +1)
            begun = time.monotonic()
            two.first.send(how)
            change = two.upload({"other": "y\n"})
            await when(lambda: two.builds(change.number), "a build of the new leader", 60.0)
            took = time.monotonic() - begun
            await two.taken_over()
    return took
