"""The Gearman side of ``ci-gate worker``: jobs taken while there is a free slot, their builds run, told and stopped.

It speaks as the Jenkins plugin does (gearman-jenkins.md 4 and 6), so that nothing else in a site need know the
difference. A build that loses its connection goes on; whoever asks for it again under its unique id is told its end.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from ci_gate.job_servers import Address
from ci_gate.worker.build import Place, run_build
from ci_gate.worker.command import (
    CommandError,
    JobCommand,
    checkout_of,
    environment_of,
    log_path_of,
    parameters_of,
)
from ci_gate.worker_connection import GearmanWorker, Job

FUNCTION = "build:"
LOG_NAME = "console.txt"
KEEP_S = 3600.0
NO_ESTIMATE = -1  # milliseconds, in WORK_STATUS

log = structlog.stdlib.get_logger("ci_gate.Worker")


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """``name`` is that of ``stop:NAME``; ``log_url`` is where ``logs`` is served, with a slash at the end."""

    name: str
    jobs: Sequence[JobCommand]
    slots: int
    logs: Path
    log_url: str
    place: Place


@dataclass(slots=True)
class _Run:
    name: str
    number: int
    url: str
    claim: Job | None
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    begun_at: float = field(default_factory=time.monotonic)
    result: str | None = None
    ended_at: float = 0.0


class CommandWorker:
    def __init__(self, settings: WorkerSettings, servers: Sequence[Address], *, reconnect_s: float = 2.0) -> None:
        self._settings = settings
        self._jobs = {each.name: each for each in settings.jobs}
        self._runs: dict[str, _Run] = {}
        # As Jenkins' numbers they grow, and a later process begins above them.
        self._numbers = itertools.count(int(time.time()) % 10**9)
        self._group: asyncio.TaskGroup | None = None
        self.worker = GearmanWorker(
            servers, settings.name, on_job=self._take, on_lost=self._unclaim, wants=self._free, reconnect_s=reconnect_s
        )
        self._manager = GearmanWorker(servers, f"{settings.name}_manager", on_job=self._stop, reconnect_s=reconnect_s)
        self.worker.offer(f"{FUNCTION}{each.name}" for each in settings.jobs)
        self._manager.offer([f"stop:{settings.name}"])

    async def run(self) -> None:
        """Until it is cancelled; builds that run then are ended."""
        async with asyncio.TaskGroup() as self._group:
            self._group.create_task(self.worker.run())
            self._group.create_task(self._manager.run())

    def _free(self) -> bool:
        return sum(1 for each in self._runs.values() if each.result is None) < self._settings.slots

    def _unclaim(self) -> None:
        for each in self._runs.values():
            if each.claim is not None and not each.claim.is_ours:
                each.claim = None

    def _take(self, job: Job) -> None:
        self._forget_old()
        known = self._runs.get(job.unique)
        if known is not None:
            known.claim = job
            self._tell(known)
            return
        command = self._jobs[job.function.removeprefix(FUNCTION)]
        try:
            parameters = parameters_of(job.arguments)
            path = log_path_of(parameters, command.name, job.unique)
            checkout = checkout_of(parameters)
        except CommandError as problem:
            log.warning("build refused", job=command.name, uuid=job.unique, reason=str(problem))
            job.exception(str(problem))
            return
        run = self._runs[job.unique] = _Run(command.name, next(self._numbers), f"{self._settings.log_url}{path}/", job)
        self._tell(run)
        environment = environment_of(parameters, _own_environment())
        building = run_build(
            command.command,
            checkout,
            environment | {"BUILD_NUMBER": str(run.number), "BUILD_URL": run.url, "JOB_NAME": run.name},
            log=self._settings.logs / path / LOG_NAME,
            place=self._settings.place,
            stopped=run.stopped,
        )
        assert self._group is not None  # noqa: S101 - jobs come only while it runs
        self._group.create_task(self._build(run, building, job.unique))

    async def _build(self, run: _Run, building: object, unique: str) -> None:
        log.info("build started", job=run.name, number=run.number, uuid=unique)
        try:
            run.result = await building  # type: ignore[misc] # a coroutine of text
        except OSError as problem:
            log.warning("build could not be run", job=run.name, uuid=unique, reason=str(problem))
            self._runs.pop(unique)
            if run.claim is not None:
                run.claim.exception(f"the worker could not run the build: {problem.strerror or problem}")
        else:
            run.ended_at = time.monotonic()
            log.info("build ended", job=run.name, number=run.number, uuid=unique, result=run.result)
            self._tell(run)
        self.worker.look()

    def _tell(self, run: _Run) -> None:
        if run.claim is None:
            return
        name = self._settings.name
        data = {
            "name": run.name,
            "number": run.number,
            "manager": name,
            "worker": name,
            "url": run.url,
            "node_name": name,
        }
        if run.result is None:
            run.claim.data(data)
            run.claim.status(round((time.monotonic() - run.begun_at) * 1000), NO_ESTIMATE)
        else:
            run.claim.complete(data | {"result": run.result})

    def _stop(self, job: Job) -> None:
        try:
            wanted = json.loads(job.arguments)
            name, number, unique = str(wanted["name"]), int(wanted["number"]), str(wanted.get("uuid", ""))
        except (ValueError, KeyError, TypeError) as problem:
            job.exception(f"the request cannot be understood: {problem!r}")
            return
        runs = [self._runs[unique]] if unique in self._runs else self._runs.values()
        run = next((each for each in runs if (each.name, each.number) == (name, number)), None)
        if run is None:
            job.exception("there is no such build")
        elif run.result is not None:
            job.fail()
        else:
            log.info("stopping build", job=name, number=number)
            run.stopped.set()
            job.complete()

    def _forget_old(self) -> None:
        latest = time.monotonic() - KEEP_S
        for unique in [unique for unique, each in self._runs.items() if each.result and each.ended_at < latest]:
            del self._runs[unique]


def _own_environment() -> dict[str, str]:
    """Of this process: what a command needs, and no secret of the worker's."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME", "TMPDIR", "XDG_RUNTIME_DIR")
    return {name: os.environ[name] for name in kept if name in os.environ}
