"""Build round trips through the embedded Gearman server: launcher → server → one worker and back."""

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
from ci_gate.model.build import BuildEnd, BuildRequest
from ci_gate.sandbox.world import free_port

RUNS = 5
BUILDS = 1000
HOST = "127.0.0.1"


async def measure_round_trips() -> list[Figure]:
    port = free_port()
    server = ServerProcess(GearmanServerSettings(start=True, listen_address=HOST), port)
    await server.start()
    worker = await asyncio.create_subprocess_exec(sys.executable, "-m", "bench.gearman_worker", HOST, str(port))
    try:
        with tempfile.TemporaryDirectory() as folder:
            rates = await _rates(port, Path(folder))
    finally:
        worker.kill()
        await worker.wait()
        await server.stop()
    return [Figure("build round trips through the embedded Gearman server, one worker", "/s", rates, "> 1,500")]


async def _rates(port: int, state_dir: Path) -> list[float]:
    waiting: set[str] = set()
    done = asyncio.Event()

    def ended(end: BuildEnd) -> None:
        waiting.discard(end.uuid)
        if not waiting:
            done.set()

    launcher = GearmanLauncher(GearmanSettings(HOST, port), on_update=lambda _: None, on_end=ended, state_dir=state_dir)
    await launcher.start()
    rates = []
    for count in (10, *([BUILDS] * RUNS)):  # the first only waits until everybody is there
        requests = [BuildRequest(uuid.uuid4().hex, "bench", {"ZUUL_UUID": "x", "ZUUL_REF": "y"}) for _ in range(count)]
        waiting.update(each.uuid for each in requests)
        done.clear()
        begun = time.perf_counter()
        for each in requests:
            launcher.launch(each)
        async with asyncio.timeout(60):
            await done.wait()
        rates.append(count / (time.perf_counter() - begun))
    await launcher.stop()
    return rates[1:]


def no_delay(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
