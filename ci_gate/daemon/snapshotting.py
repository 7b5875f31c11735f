"""Snapshots while the service runs, made by a child that replays the journal: the service stands still for none.

``python -m ci_gate.daemon.snapshotting`` reads the journal's address and the time before which steps may be forgotten
from standard input, for arguments are seen by everybody.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable

import structlog

EVERY = 2_500  # steps: a restart decides them once more, in about a second
LOOK_S = 5.0
DEADLINE_S = 600.0

log = structlog.stdlib.get_logger("zuul.Journal")


async def make_snapshots(address: str, seq: Callable[[], int], *, remembered_s: float, most_bytes: int) -> None:
    """So that a restart after a crash has little to decide again. ``seq``: of the last step. Until cancelled."""
    last = seq()
    while True:
        await asyncio.sleep(LOOK_S)
        if seq() - last >= EVERY:
            last = seq()
            await make_snapshot(address, forget_before=time.time() - remembered_s, most_bytes=most_bytes)


async def make_snapshot(address: str, *, forget_before: float, most_bytes: int) -> bool:
    """Is there a new one now? One that fails is told in the log, and tried again later."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ci_gate.daemon.snapshotting"), stdin=PIPE, stdout=DEVNULL, stderr=PIPE
    )
    request = json.dumps({"address": address, "forget_before": forget_before, "most_bytes": most_bytes})
    try:
        async with asyncio.timeout(DEADLINE_S):
            _, told = await process.communicate(request.encode())
    except BaseException:
        process.kill()
        await process.wait()
        raise
    if process.returncode != 0:
        log.warning("no snapshot could be made", reason=told.decode(errors="replace").strip()[-500:])
    return process.returncode == 0


def main() -> int:
    from ci_gate.daemon.recovery import keep, recover  # noqa: PLC0415  # only the child needs them
    from ci_gate.store.journal import Journal  # noqa: PLC0415  # as above

    request = json.load(sys.stdin)
    journal = Journal(request["address"])
    standing = recover(journal)
    if standing is not None:
        keep(journal, standing, time.time())
        journal.trim(request["forget_before"], request["most_bytes"])
    journal.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
