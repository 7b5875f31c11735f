"""One build: a fresh clone, a command in it, a log, an end within its time.

What the command started ends with it: in a scope of systemd's where there is one, else with its process group.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ci_gate.worker.command import Checkout

FETCH_S = 600.0
GRACE_S = 5.0  # between SIGTERM and SIGKILL
LARGEST_LOG = 256 * 2**20
PIECE = 65536
SUCCESS, FAILURE, TIMED_OUT, ABORTED = "SUCCESS", "FAILURE", "TIMED_OUT", "ABORTED"


@dataclass(frozen=True, slots=True)
class Place:
    """``user`` None: whoever we are. ``scopes``: systemd makes one for each command."""

    workspaces: Path
    timeout_s: float
    user: str | None = None
    scopes: bool = False


async def run_build(
    command: str,
    checkout: Checkout | None,
    environment: Mapping[str, str],
    *,
    log: Path,
    place: Place,
    stopped: asyncio.Event,
) -> str:
    """The result. The log is complete when it returns, and the workspace is gone."""
    await asyncio.to_thread(log.parent.mkdir, parents=True, exist_ok=True)
    workspace = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="build-", dir=place.workspaces))
    try:
        if place.user is not None:
            await asyncio.to_thread(shutil.chown, workspace, place.user)
        with log.open("wb") as output:
            own = {"WORKSPACE": str(workspace)} | ({"HOME": str(workspace)} if place.user else {})
            runner = _Runner(dict(environment) | own, workspace, output, place, stopped)
            return await runner.run(command, checkout)
    finally:
        await asyncio.to_thread(shutil.rmtree, workspace, ignore_errors=True)


class _Runner:
    def __init__(
        self, environment: dict[str, str], workspace: Path, output: object, place: Place, stopped: asyncio.Event
    ) -> None:
        self._environment = environment
        self._workspace = workspace
        self._output = output
        self._place = place
        self._stopped = stopped
        self._written = 0

    async def run(self, command: str, checkout: Checkout | None) -> str:
        result = SUCCESS
        ends_at = asyncio.get_running_loop().time() + self._place.timeout_s
        for step in [*(_fetching(checkout) if checkout else ()), ["/bin/sh", "-c", command]]:
            self._say(f"+ {' '.join(step)}\n".encode())
            result = await self._step(step, ends_at)
            if result != SUCCESS:
                break
        self._say(f"\nFinished: {result}\n".encode())
        return result

    async def _step(self, command: Sequence[str], ends_at: float) -> str:
        process = await asyncio.create_subprocess_exec(
            *(_SCOPE if self._place.scopes else ()),
            *command,
            cwd=self._workspace,
            env=self._environment,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            start_new_session=True,
            user=self._place.user,
            group=pwd.getpwnam(self._place.user).pw_gid if self._place.user else None,
            extra_groups=[] if self._place.user else None,
        )
        copying = asyncio.create_task(self._copy(process.stdout))
        ending = asyncio.create_task(process.wait())
        stopping = asyncio.create_task(self._stopped.wait())
        try:
            left_s = max(0.0, ends_at - asyncio.get_running_loop().time())
            await asyncio.wait([ending, stopping], timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            result = ABORTED if stopping.done() else TIMED_OUT if not ending.done() else None
            return result or (SUCCESS if process.returncode == 0 else FAILURE)
        finally:
            await _end(process)
            stopping.cancel()
            with contextlib.suppress(TimeoutError):  # something that escaped the group may hold the pipe
                async with asyncio.timeout(GRACE_S):
                    await copying
            copying.cancel()

    async def _copy(self, stream: asyncio.StreamReader | None) -> None:
        while stream is not None and (piece := await stream.read(PIECE)):
            self._say(piece)

    def _say(self, piece: bytes) -> None:
        """Up to a limit: a command that never stops talking must not fill the disk."""
        if self._written <= LARGEST_LOG:
            self._written += len(piece)
            tail = b"\n... the log is longer than is kept\n" if self._written > LARGEST_LOG else b""
            self._output.write(piece + tail)  # type: ignore[attr-defined] # a binary file
            self._output.flush()  # type: ignore[attr-defined] # the same


_SCOPE = ("systemd-run", "--user", "--scope", "--quiet", "--collect", "--")


def scopes_work() -> bool:
    """Whether systemd gives this user scopes; blocks for a moment."""
    if shutil.which("systemd-run") is None or "XDG_RUNTIME_DIR" not in os.environ:
        return False
    try:
        return subprocess.run([*_SCOPE, "true"], capture_output=True, timeout=10, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _fetching(checkout: Checkout) -> list[list[str]]:
    return [
        ["git", "init", "--quiet", "."],
        ["git", "fetch", "--quiet", "--", checkout.url, checkout.ref],
        ["git", "checkout", "--quiet", "--detach", checkout.commit or "FETCH_HEAD"],
    ]


async def _end(process: asyncio.subprocess.Process) -> None:
    """The whole group, what it left behind as well."""
    for number, wait_s in ((signal.SIGTERM, GRACE_S), (signal.SIGKILL, GRACE_S)):
        try:
            os.killpg(process.pid, number)
        except (ProcessLookupError, PermissionError):
            break
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await process.wait()
                if number is signal.SIGTERM and _group_is_gone(process.pid):
                    break
    if process.returncode is None:
        print(f"ci-gate: process {process.pid} does not end", file=sys.stderr)  # noqa: T201 - beyond any build's log


def _group_is_gone(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return True
    return False
