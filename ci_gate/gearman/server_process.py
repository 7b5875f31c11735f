"""The built-in Gearman server as a child process of the daemon: started, watched, started again, stopped.

The child ends by itself when this process does, however it ends: it watches a pipe that only we hold.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable

import structlog

from ci_gate.config.settings import GearmanServerSettings

log = structlog.stdlib.get_logger("zuul.GearmanServer")

START_S = 15.0
STOP_S = 5.0
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0


class GearmanServerError(Exception):
    """The server did not start; the text says why, for the operator."""


class ServerProcess:
    """``port`` is the real one after :meth:`start`, if 0 was asked for.

    ``on_death`` hears of every unexpected end, with a text for the operator; the server is then started again,
    after a pause that grows while it keeps dying.
    """

    def __init__(
        self,
        settings: GearmanServerSettings,
        port: int,
        *,
        on_death: Callable[[str], None] = lambda _text: None,
        first_pause_s: float = FIRST_PAUSE_S,
    ) -> None:
        self.port = port
        self._settings = settings
        self._on_death = on_death
        self._first_pause_s = first_pause_s
        self._process: Process | None = None
        self._keeper: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The child's process id while it lives."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self) -> None:
        """Return when it accepts connections. Raises GearmanServerError: the port is taken, or the like."""
        self._process = await self._spawn()
        self._keeper = asyncio.create_task(self._keep(), name="gearman server keeper")

    async def stop(self) -> None:
        if self._keeper:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if self._process:
            await _end(self._process)

    async def _spawn(self) -> Process:
        command = [sys.executable, "-m", "ci_gate.gearman.server", "--until-stdin-closes", f"--port={self.port}"]
        command.append(f"--listen-address={self._settings.listen_address}")
        if self._settings.log_config:
            command.append(f"--log-config={self._settings.log_config}")
        if tls := self._settings.tls:
            command += [f"--ssl-key={tls.key}", f"--ssl-cert={tls.cert}", f"--ssl-ca={tls.ca}"]
        process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=None)
        try:
            self.port = await _port_of(process)
        except BaseException:
            await _end(process)
            raise
        log.info("gearman server started", address=self._settings.listen_address, port=self.port, pid=process.pid)
        return process

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        pause_s = self._first_pause_s
        while self._process:
            started = loop.time()
            code = await self._process.wait()
            if loop.time() - started > LONGEST_PAUSE_S:
                pause_s = self._first_pause_s
            self._tell(f"the Gearman server ended unexpectedly (exit code {code})")
            self._process = None
            while self._process is None:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                try:
                    self._process = await self._spawn()
                except (GearmanServerError, OSError) as error:
                    self._tell(f"the Gearman server cannot be started again: {error}")

    def _tell(self, text: str) -> None:
        log.error("gearman server down", reason=text)
        self._on_death(text)


async def _port_of(process: Process) -> int:
    """What the child says first: where it listens, or why it does not."""
    assert process.stdout is not None  # noqa: S101 - it was asked for as a pipe
    try:
        async with asyncio.timeout(START_S):
            word, _, rest = (await process.stdout.readline()).decode().strip().partition(" ")
    except TimeoutError:
        raise GearmanServerError(f"the Gearman server did not start within {START_S:g} s") from None
    if word == "listening":
        return int(rest)
    raise GearmanServerError(rest or "the Gearman server ended while it started")


async def _end(process: Process) -> None:
    """Close the pipe that the child watches; kill it if that is not enough."""
    if process.stdin:
        process.stdin.close()
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
