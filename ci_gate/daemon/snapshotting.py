"""Snapshots while the service runs, made by a child that replays the journal: the service stands still for none.

``python -m ci_gate.daemon.snapshotting`` reads the journal's address and the times before which steps and builds may be
forgotten from standard input, for arguments are seen by everybody.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable
from dataclasses import asdict

import structlog

from ci_gate.config.settings import DatabaseSettings
from ci_gate.daemon.history import Retention, tidy

EVERY = 2_500  # steps: a restart decides them once more, in about a second
LOOK_S = 5.0
DEADLINE_S = 600.0

log = structlog.stdlib.get_logger("zuul.Journal")


async def make_snapshots(address: str, seq: Callable[[], int], database: DatabaseSettings) -> None:
    """So that a restart after a crash has little to decide again. ``seq``: of the last step. Until cancelled."""
    last = seq()
    while True:
        await asyncio.sleep(LOOK_S)
        if seq() - last >= EVERY:
            last = seq()
            await make_snapshot(address, database)


async def make_snapshot(address: str, database: DatabaseSettings) -> bool:
    """Is there a new one, and what is too old forgotten? What fails is told in the log, and tried again later."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ci_gate.daemon.snapshotting"), stdin=PIPE, stdout=DEVNULL, stderr=PIPE
    )
    request = json.dumps({"address": address, "retention": asdict(Retention.of(database, time.time()))})
    try:
        async with asyncio.timeout(DEADLINE_S):
            _, told = await process.communicate(request.encode())
    except BaseException:
        process.kill()
        await process.wait()
        raise
    if process.returncode != 0:
        reason = told.decode(errors="replace").strip()[-500:]
        log.warning("no snapshot could be made, or nothing forgotten", reason=reason)
    return process.returncode == 0


def main() -> int:
    from ci_gate.daemon.recovery import keep, recover  # noqa: PLC0415  # only the child needs them
    from ci_gate.store.journal import Journal  # noqa: PLC0415  # as above

    request = json.load(sys.stdin)
    journal = Journal(request["address"])
    standing, problem = recover(journal), None
    if standing is not None:
        keep(journal, standing, time.time())
        problem = tidy(journal, Retention(**request["retention"]))
    journal.close()
    if problem is not None:
        sys.stderr.write(problem)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
