"""A simulated Jenkins, its bridge, a real job server and the gate's launcher, for the bridge's tests."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Callable
from dataclasses import replace

from ci_gate.config.settings import GearmanSettings, JenkinsSettings
from ci_gate.gearman.job_server import JobServer
from ci_gate.gearman.launcher import GearmanLauncher
from ci_gate.gearman.times import LauncherTimes
from ci_gate.jenkins.bridge import Bridge, BridgeTimes
from ci_gate.model.build import BuildEnd, BuildRequest, BuildUpdate
from ci_gate.sandbox.jenkins_rest import JenkinsRest

HOST = "127.0.0.1"
DEADLINE_S = 15.0
TIMES = BridgeTimes(
    overview=0.4, quiet=0.1, pause=0.3, shortest_wait=0.05, longest_wait=0.2, reconnect=0.05, jitter=0.0
)
LAUNCHING = LauncherTimes(
    list_stable=0.3, list_limit=3.0, list_age=0.1, list_reread=0.5, reconnect=0.05, retry=0.05, cancel_confirm=0.3
)


async def when(condition: Callable[[], object], what: str):
    ends_at = time.monotonic() + DEADLINE_S
    while not (answer := condition()):
        assert time.monotonic() < ends_at, f"{what}: not within {DEADLINE_S:g} s"
        await asyncio.sleep(0.005)
    return answer


class Site:
    """``async with Site() as site``: everything up, nothing launched. ``site.jenkins`` is to be filled before."""

    def __init__(self, *, url: str | None = None, declare: bool = False, **settings) -> None:
        """``url``: of a real server without accounts, in place of the simulated one."""
        self.jenkins = JenkinsRest()
        self.url = url
        account = {} if url else {"user": "gate", "token": "token-1"}
        self.settings = account | {"poll_interval_s": 0.1} | settings
        self.declare = declare
        self.times = TIMES
        self.updates: list[BuildUpdate] = []
        self.ends: dict[str, BuildEnd] = {}
        self.bridge: Bridge | None = None
        self._task: asyncio.Task | None = None

    async def __aenter__(self) -> Site:
        self.server = JobServer(HOST, 0)
        self.gearman = GearmanSettings(HOST, self.server.port)
        if not self.jenkins.port:
            await self.jenkins.start()
        self.start_bridge()
        self.launcher = GearmanLauncher(
            self.gearman, on_update=self.updates.append, on_end=self._ended, times=LAUNCHING
        )
        await self.launcher.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.launcher.stop()
        await self.stop_bridge()
        await self.jenkins.stop()
        await asyncio.to_thread(self.server.shutdown)

    def _ended(self, end: BuildEnd) -> None:
        assert end.uuid not in self.ends, "a second end of one build"
        self.ends[end.uuid] = end

    def start_bridge(self) -> None:
        settings = JenkinsSettings("main", self.url or self.jenkins.url, **self.settings)
        self.bridge = Bridge(settings, self.gearman, declare=self.declare, times=self.times)
        self._task = asyncio.create_task(self.bridge.run())

    async def stop_bridge(self) -> None:
        task, self._task = self._task, None
        if task:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def launch(self, job: str = "unit", **options) -> str:
        unique = uuid.uuid4().hex
        parameters = {"ZUUL_UUID": unique, "ZUUL_CHANGE": "7"} | options.pop("parameters", {})
        self.launcher.launch(BuildRequest(unique, job, parameters, **options))
        return unique

    async def end(self, unique: str) -> BuildEnd:
        return await when(lambda: self.ends.get(unique), f"end of {unique}")

    async def running(self, count: int = 1):
        """Jenkins' own builds, once the gate knows of so many."""
        await when(
            lambda: len({each.uuid for each in self.updates if each.started}) >= count, f"{count} builds started"
        )
        return self.jenkins.running

    def started(self, unique: str) -> BuildUpdate | None:
        return next((each for each in self.updates if each.uuid == unique and each.number), None)


def patient(times: BridgeTimes = TIMES, **changes: float) -> BridgeTimes:
    return replace(times, **changes)
