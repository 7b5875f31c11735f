"""What the bridge asks of a stock Jenkins while it holds 200 builds of 50 jobs in 5 folders."""

from __future__ import annotations

import asyncio
import tempfile
import time
import uuid
from collections import deque
from contextlib import suppress
from pathlib import Path

from bench.figures import Figure
from ci_gate.config.settings import GearmanServerSettings, GearmanSettings, JenkinsSettings
from ci_gate.gearman.launcher import GearmanLauncher
from ci_gate.gearman.server_process import ServerProcess
from ci_gate.jenkins.bridge import Bridge
from ci_gate.model.build import BuildEnd, BuildRequest, BuildUpdate
from ci_gate.sandbox.jenkins_rest import JenkinsRest
from ci_gate.sandbox.ports import free_port

HOST = "127.0.0.1"
JOBS, FOLDERS, BUILDS = 50, 5, 200
BUILD_S = 60.0  # so long runs a build: three a second begin and end
RUNS, RUN_S = 3, 10.0


TOKEN = JenkinsRest().token


async def measure() -> list[Figure]:
    jenkins = JenkinsRest()
    for number in range(JOBS):
        jenkins.add(f"folder-{number % FOLDERS}/job-{number}")
    await jenkins.start()
    port = free_port()
    server = ServerProcess(GearmanServerSettings(start=True, listen_address=HOST), port)
    await server.start()
    gearman = GearmanSettings(HOST, port)
    settings = JenkinsSettings("bench", jenkins.url, user="gate", token=TOKEN, job_path="*/{job}", max_queued=BUILDS)
    bridge = Bridge(settings, gearman)
    task = asyncio.create_task(bridge.run())
    try:
        with tempfile.TemporaryDirectory() as folder:
            rates = await _rates(jenkins, bridge, gearman, Path(folder))
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await server.stop()
        await jenkins.stop()
    what = (
        f"requests to Jenkins with {BUILDS} builds of {JOBS} jobs in {FOLDERS} folders, {BUILDS / BUILD_S:.1f} new /s"
    )
    return [Figure(what, "/s", rates, "< 10")]


async def _rates(jenkins: JenkinsRest, bridge: Bridge, gearman: GearmanSettings, folder: Path) -> list[float]:
    running: deque[str] = deque()

    def updated(update: BuildUpdate) -> None:
        if update.number and update.uuid not in running:
            running.append(update.uuid)

    def ended(end: BuildEnd) -> None:
        assert end.result == "SUCCESS", end
        launch()

    def launch() -> None:
        unique = uuid.uuid4().hex
        launcher.launch(BuildRequest(unique, f"job-{int(unique[:8], 16) % JOBS}", {"ZUUL_UUID": unique}))

    launcher = GearmanLauncher(gearman, on_update=updated, on_end=ended, state_dir=folder)
    await launcher.start()
    for _ in range(BUILDS):
        launch()
    async with asyncio.timeout(60):
        while len(jenkins.running) < BUILDS:  # noqa: ASYNC110 - another machine's state, it tells nobody
            await asyncio.sleep(0.1)
    ending = asyncio.create_task(_end_one_after_another(jenkins))
    rates = []
    for _ in range(RUNS):
        before, begun = bridge.http.count, time.perf_counter()
        await asyncio.sleep(RUN_S)
        rates.append((bridge.http.count - before) / (time.perf_counter() - begun))
    ending.cancel()
    await launcher.stop()
    return rates


async def _end_one_after_another(jenkins: JenkinsRest) -> None:
    while True:
        await asyncio.sleep(BUILD_S / BUILDS)
        min(jenkins.running, key=lambda each: each.started).end()
