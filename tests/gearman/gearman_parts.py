"""Real job servers and real workers for the launcher's tests."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import gear
import pytest
from gearmand_server import Gearmand, gearmand_is_there

from ci_gate.config.settings import GearmanServerSettings, GearmanSettings
from ci_gate.gearman.launcher import GearmanLauncher
from ci_gate.gearman.server_process import ServerProcess
from ci_gate.gearman.times import LauncherTimes
from ci_gate.job_servers import TlsFiles
from ci_gate.model.build import BuildEnd, BuildRequest, BuildUpdate
from ci_gate.sandbox.ports import free_port

HOST = "127.0.0.1"
DEADLINE_S = 15.0
QUICK = LauncherTimes(
    list_stable=0.2,
    list_limit=2.0,
    list_age=0.1,
    list_reread=0.5,
    reconnect=0.05,
    retry=0.05,
    identify=0.3,
    cancel_confirm=0.3,
    silence=0.5,
    doubt=0.2,
)


async def when(condition: Callable[[], object], what: str):
    ends_at = time.monotonic() + DEADLINE_S
    while not (answer := condition()):
        assert time.monotonic() < ends_at, f"{what}: not within {DEADLINE_S:g} s"
        await asyncio.sleep(0.005)
    return answer


async def has_ended(server: Embedded | Gear | Gearmand, function: str) -> None:
    """Until the server knows of no job of a function, waiting or running, by its ``status`` command."""
    reader, writer = await asyncio.open_connection(HOST, server.port)
    ends_at = time.monotonic() + DEADLINE_S
    while True:
        writer.write(b"status\n")
        table = (await reader.readuntil(b".\n")).decode()
        lines = [line.split("\t") for line in table.splitlines()[:-1]]
        if all(total == "0" for name, total, *_ in lines if name == function):
            break
        assert time.monotonic() < ends_at, f"{function} has not ended: {table}"
        await asyncio.sleep(0.005)
    writer.close()


class Embedded:
    """Our own server, in its child process."""

    def __init__(self, tls: TlsFiles | None = None) -> None:
        self.port = free_port()
        self._settings = GearmanServerSettings(start=True, listen_address=HOST, tls=tls)
        self._process: ServerProcess | None = None

    async def start(self) -> None:
        self._process = ServerProcess(self._settings, self.port, first_pause_s=0.2)
        await self._process.start()

    async def stop(self) -> None:
        if self._process:
            await self._process.stop()
            self._process = None

    async def break_down(self) -> None:
        """Killed without a chance to say anything, and started again by whoever watches it."""
        os.kill(self._process.pid, signal.SIGKILL)
        await when(lambda: self._process.pid is None, "its death")
        await when(lambda: self._process.pid is not None, "its next life")


class Gear:
    """gear's own server, in threads."""

    def __init__(self, tls: TlsFiles | None = None) -> None:
        self.port = free_port()
        self._tls = {"ssl_key": tls.key, "ssl_cert": tls.cert, "ssl_ca": tls.ca} if tls else {}
        self._server: gear.Server | None = None

    async def start(self) -> None:
        self._server = gear.Server(self.port, host=HOST, **self._tls)

    async def stop(self) -> None:
        server, self._server = self._server, None
        if server:
            await asyncio.to_thread(server.shutdown)


class Worker:
    """A gear worker in a thread. It takes jobs and leaves the answers to the test."""

    def __init__(self, port: int, *functions: str) -> None:
        self.jobs: list[gear.Job] = []
        self._worker = gear.Worker("worker")
        self._worker.addServer(HOST, port)
        self._worker.waitForServer()
        for each in functions:
            self._worker.registerFunction(each)
        self._thread = threading.Thread(target=self._take, daemon=True)
        self._thread.start()

    def _take(self) -> None:
        while True:
            try:
                self.jobs.append(self._worker.getJob())
            except gear.InterruptedError:
                return

    async def job(self, number: int = 1) -> gear.Job:
        """The job of that number, once it is there."""
        await when(lambda: len(self.jobs) >= number, f"job {number}")
        return self.jobs[number - 1]

    def uniques(self) -> list[str]:
        return [each.unique.decode() for each in self.jobs]

    def stop(self) -> None:
        self._worker.stopWaitingForJobs()
        self._thread.join(5)
        self._worker.shutdown()


class Bench:
    """A launcher with everything that it has told."""

    def __init__(self, port: int, state_dir: Path, times: LauncherTimes = QUICK, elsewhere=None, **settings) -> None:
        self.updates: list[BuildUpdate] = []
        self.ends: list[BuildEnd] = []
        self.may_send = True
        self.launcher = GearmanLauncher(
            GearmanSettings(HOST, port, **settings),
            may_send=lambda: self.may_send,
            on_update=self.updates.append,
            on_end=self.ended,
            state_dir=state_dir,
            times=times,
            elsewhere=elsewhere,
        )

    async def __aenter__(self) -> Bench:
        await self.launcher.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.launcher.stop()

    def ended(self, end: BuildEnd) -> None:
        self.ends.append(end)

    def launch(self, job: str = "unit", **options) -> str:
        request = request_for(job, **options)
        self.launcher.launch(request)
        return request.uuid

    async def end(self, count: int = 1) -> BuildEnd:
        await when(lambda: len(self.ends) >= count, f"end {count}")
        return self.ends[count - 1]


def request_for(job: str = "unit", **options) -> BuildRequest:
    unique = options.pop("uuid", None) or uuid.uuid4().hex
    parameters = options.pop("parameters", {"ZUUL_UUID": unique})
    return BuildRequest(unique, job, parameters, **options)


def data(**values: object) -> bytes:
    return json.dumps({"name": "unit", "number": 7, "manager": "jenkins", "url": "http://j/7/"} | values).encode()


GEAR = pytest.param(Gear, marks=pytest.mark.thorough)
"""The library's server, of which ours is a kind; that it serves too is proven by ``make thorough``."""

GEARMANDS = pytest.param(Gearmand, marks=gearmand_is_there)
SERVERS = [Embedded, GEAR, GEARMANDS]
