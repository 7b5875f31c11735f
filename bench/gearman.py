"""Build round trips through the embedded Gearman server: launcher → server → workers and back."""

from __future__ import annotations

import asyncio
import socket
import sys
import tempfile
import time
import uuid
from pathlib import Path

from bench.figures import Figure
from ci_gate.config.settings import GearmanServerSettings, GearmanSettings
from ci_gate.gearman.launcher import GearmanLauncher
from ci_gate.gearman.server_process import ServerProcess
from ci_gate.model.build import BuildEnd, BuildRequest, BuildUpdate
from ci_gate.sandbox.ports import free_port

RUNS = 5
BUILDS = 1000
EXECUTORS = 200
HOST = "127.0.0.1"


async def measure() -> list[Figure]:
    trips, _ = await _rates("bench.gearman_worker")
    _, starts = await _rates("bench.gearman_executors", str(EXECUTORS))
    return [
        Figure("build round trips through the embedded Gearman server, one worker", "/s", trips, "> 1,500"),
        Figure(f"1,000 builds queued at once reach {EXECUTORS} workers through it", "/s", starts, "≥ 500"),
    ]


async def _rates(workers: str, *arguments: str) -> tuple[list[float], list[float]]:
    """How many builds a second had ended, and had started, until all had; by a process of such workers."""
    port = free_port()
    server = ServerProcess(GearmanServerSettings(start=True, listen_address=HOST), port)
    await server.start()
    worker = await asyncio.create_subprocess_exec(sys.executable, "-m", workers, HOST, str(port), *arguments)
    try:
        with tempfile.TemporaryDirectory() as folder:
            return await _measured(port, Path(folder))
    finally:
        worker.kill()
        await worker.wait()
        await server.stop()


async def _measured(port: int, state_dir: Path) -> tuple[list[float], list[float]]:
    waiting: set[str] = set()
    not_started: set[str] = set()
    started_at = 0.0
    done = asyncio.Event()

    def updated(update: BuildUpdate) -> None:
        nonlocal started_at
        if update.started and update.uuid in not_started:
            not_started.discard(update.uuid)
            started_at = time.perf_counter()

    def ended(end: BuildEnd) -> None:
        waiting.discard(end.uuid)
        if not waiting:
            done.set()

    launcher = GearmanLauncher(GearmanSettings(HOST, port), on_update=updated, on_end=ended, state_dir=state_dir)
    await launcher.start()
    rates, starts = [], []
    for count in (10, *([BUILDS] * RUNS)):  # the first only waits until everybody is there
        requests = [BuildRequest(uuid.uuid4().hex, "bench", {"ZUUL_UUID": "x", "ZUUL_REF": "y"}) for _ in range(count)]
        waiting.update(each.uuid for each in requests)
        not_started.update(waiting)
        done.clear()
        begun = time.perf_counter()
        for each in requests:
            launcher.launch(each)
        async with asyncio.timeout(60):
            await done.wait()
        rates.append(count / (time.perf_counter() - begun))
        starts.append(count / (started_at - begun))
    await launcher.stop()
    return rates[1:], starts[1:]


def no_delay(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
