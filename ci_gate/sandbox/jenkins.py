"""A simulated Jenkins controller with nodes, as its Gearman plugin 0.8.0 shows it (gearman-jenkins.md 6).

One connection for each executor and one for the manager. A build really runs: it fetches ``$ZUUL_REF`` from
``$ZUUL_URL/$ZUUL_PROJECT`` into a fresh folder, checks that it got ``$ZUUL_COMMIT``, and runs the job's script there
with the parameters as its environment. For the demo and the tests: builds can be held, and made to go wrong.

As with the plugin, a busy executor does not look at its socket: if the server goes away meanwhile, the executor
notices when its build has ended, and the build's result is lost.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from ci_gate.sandbox.jenkins_build import Build, Script
from ci_gate.sandbox.jenkins_workers import Executor, Fault, Job, Manager, Node, Worker

__all__ = ["Build", "Fault", "Jenkins", "Job", "Node"]

T = TypeVar("T")

RECONNECT_S = 2.0


class Jenkins:
    """``builds`` in order of their start. Give ``log_dir`` to keep what builds printed, below their LOG_PATH."""

    def __init__(
        self,
        port: int,
        *,
        host: str = "127.0.0.1",
        name: str = "jenkins",
        nodes: Sequence[Node] = (Node("node-1"),),
        root_url: str = "http://jenkins.example/",
        log_dir: Path | None = None,
        reconnect_s: float = RECONNECT_S,
        estimate_ms: int = 1000,
    ) -> None:
        self.address = (host, port)
        self.name = name
        self.root_url = root_url
        self.log_dir = log_dir
        self.reconnect_s = reconnect_s
        self.estimate_ms = estimate_ms
        self.jobs: dict[str, Job] = {}
        self.builds: list[Build] = []
        self.faults: dict[str, list[Fault]] = defaultdict(list)
        self._held: dict[str, asyncio.Event] = {}
        self._changed = asyncio.Event()
        executors = [Executor(self, node, index) for node in nodes for index in range(node.executors)]
        self._workers: list[Worker] = [Manager(self), *executors]
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to connect; :meth:`ready` waits for it."""
        self._tasks = [asyncio.create_task(each.run(), name=each.client_id) for each in self._workers]

    async def ready(self, within_s: float = 10.0) -> None:
        """Wait until every worker is registered and waits for jobs."""
        await self.when(lambda: all(each.asleep for each in self._workers), within_s)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # Set up

    def add_job(self, name: str, script: Script = "true", *, labels: Iterable[str] = (), fetch: bool = True) -> None:
        self.jobs[name] = Job(name, script, tuple(labels), fetch)
        self._register()

    def remove_job(self, name: str) -> None:
        del self.jobs[name]
        self._register()

    def hold(self, job: str) -> None:
        """Builds of this job, once started, wait until :meth:`release`."""
        self._held[job] = asyncio.Event()

    def release(self, job: str) -> None:
        self._held.pop(job).set()

    def misbehave(self, job: str, fault: Fault) -> None:
        """The next build of this job that has no fault yet goes wrong in this way."""
        self.faults[job].append(fault)

    # Watch

    async def when(self, probe: Callable[[], T], within_s: float = 10.0) -> T:
        """Wait for a true value of ``probe``, which is asked whenever something changed. TimeoutError."""
        async with asyncio.timeout(within_s):
            while not (value := probe()):
                await self._changed.wait()
        return value

    async def running(self, job: str, within_s: float = 10.0) -> Build:
        """The first build of this job that runs now."""
        found = await self.when(lambda: [each for each in self.builds if each.job == job and each.running], within_s)
        return found[0]

    async def ended(self, job: str, within_s: float = 10.0) -> Build:
        """The latest build of this job, when it has ended."""

        def latest() -> Build | None:
            builds = [each for each in self.builds if each.job == job]
            return builds[-1] if builds and not builds[-1].running else None

        found = await self.when(latest, within_s)
        assert found is not None  # noqa: S101 - when() returns true values only
        return found

    def cut(self, build: Build) -> None:
        """The executor of this build dies: its connection breaks, the build is gone."""
        for worker in self._workers:
            if isinstance(worker, Executor) and worker.build is build:
                worker.cut()

    # For the workers

    def changed(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def find(self, name: str, number: int) -> Build | None:
        """As the manager looks builds up: ignoring case."""
        same = [each for each in self.builds if each.job.lower() == name.lower() and each.number == number]
        return same[0] if same else None

    def new_build(self, job: str, uuid: str, parameters: dict[str, str], node: str) -> Build:
        number = sum(1 for each in self.builds if each.job == job) + 1
        build = Build(job, number, uuid, parameters, node, f"{self.root_url}job/{job}/{number}/")
        self.builds.append(build)
        self.changed()
        return build

    async def held(self, job: str) -> None:
        if job in self._held:
            await self._held[job].wait()

    def _register(self) -> None:
        for worker in self._workers:
            worker.register()
