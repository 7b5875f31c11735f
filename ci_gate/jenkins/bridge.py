"""One Jenkins, served: the loop that looks at it and the two Gearman connections (gearman-jenkins.md 10-13).

A look is at most two questions for the queue and for each folder with builds, however many builds there are. Trouble
with Jenkins decides nothing: builds wait until it answers, and no more are taken from the Gearman server meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter, defaultdict
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, assert_never

import structlog

from ci_gate.config.settings import GearmanSettings, JenkinsSettings
from ci_gate.jenkins import builds as steps
from ci_gate.jenkins.api import Api, BuildRecord, JenkinsJob
from ci_gate.jenkins.books import Books
from ci_gate.jenkins.builds import OFFLINE, YES, Build, Look, Phase, next_step, step_of
from ci_gate.jenkins.declaring import PARAMETERS, ConfigError, with_parameters
from ci_gate.jenkins.http import (
    BadRequestError,
    BrokenError,
    BusyError,
    DisabledError,
    Http,
    JenkinsError,
    MissingError,
    RefusedError,
)
from ci_gate.jenkins.manager import Manager
from ci_gate.jenkins.names import Path, address_of
from ci_gate.job_servers import addresses
from ci_gate.worker_connection import GearmanWorker, Job

log = structlog.stdlib.get_logger("ci_gate.Jenkins")

FULL = 0.75  # of the interval, since its length varies
TRIES = 3  # of a start that Jenkins answers with an error of its own, or with "no such job"
TOGETHER = 3  # jobs of one folder that are asked for with one question
SPARE = 10  # builds of others that may be newer than ours
STOPS = (("stop", 0.0), ("term", 20.0), ("kill", 60.0))  # seconds after the first; the last two for pipelines


@dataclass(frozen=True, slots=True)
class BridgeTimes:
    """All in seconds; the numbers in brackets are sections of gearman-jenkins.md."""

    overview: float = 60.0  # jobs and nodes are read again (10)
    quiet: float = 10.0  # the same while Jenkins is about to shut down
    pause: float = 60.0  # after the credentials were refused (13)
    shortest_wait: float = 1.0  # after trouble, doubled each time (13)
    longest_wait: float = 30.0
    reconnect: float = 2.0  # to the Gearman server (6.6)
    jitter: float = 0.2  # of every interval (12)


class Bridge:
    """``run`` serves until it is cancelled; builds in Jenkins go on without it and are found again."""

    def __init__(
        self,
        settings: JenkinsSettings,
        gearman: GearmanSettings,
        *,
        declare: bool = False,
        times: BridgeTimes | None = None,
    ) -> None:
        """Raises TlsError."""
        self._settings = settings
        self._declare = declare
        self._times = times or BridgeTimes()
        self.http = Http(settings)
        self._api = Api(self.http, time.time)
        self._books = Books(settings, time.monotonic, self._changed)
        self._manager = Manager(settings.name, self._api, self._books)
        self._wake = asyncio.Event()
        self._ready = False
        self._overview_at: float | None = None
        self._full_at = 0.0
        self._quiet = False
        self._undeclarable: set[Path] = set()
        self._group: asyncio.TaskGroup | None = None
        servers = addresses(gearman.servers, gearman.tls)
        self.worker = GearmanWorker(
            servers,
            f"{settings.name}_bridge",
            on_job=self._asked,
            on_lost=self._books.unclaim,
            wants=lambda: self._ready and self._books.room(),
            resumes=True,
            reconnect_s=self._times.reconnect,
        )
        self._managing = GearmanWorker(
            servers, f"{settings.name}_manager", on_job=self._manage, reconnect_s=self._times.reconnect
        )
        self._managing.offer(self._manager.functions)

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as self._group:
                self._group.create_task(self.worker.run())
                self._group.create_task(self._managing.run())
                self._group.create_task(self._serve())
        finally:
            self.http.close()

    # Gearman

    def _asked(self, job: Job) -> None:
        self._books.ask(job)

    def _manage(self, job: Job) -> None:
        if self._group:
            self._group.create_task(self._manager.serve(job))

    def _changed(self, soon: bool) -> None:
        if soon:
            self._wake.set()
        if self._settings.label_limits:
            self.worker.offer(self._books.functions())
        self.worker.look()

    # The loop

    async def _serve(self) -> None:
        wait_s = 0.0
        while True:
            started = time.monotonic()
            self._wake.clear()
            try:
                await self._round()
                wait_s = 0.0
                self._set_ready(not self._quiet)
            except RefusedError as problem:
                self._set_ready(False)
                log.warning("Jenkins refuses us, builds wait", jenkins=self._settings.name, reason=str(problem))
                self.http.renew()
                await asyncio.sleep(self._times.pause if wait_s else self._times.shortest_wait)
                wait_s = self._times.shortest_wait
                continue
            except JenkinsError as problem:
                wait_s = min(2 * wait_s or self._times.shortest_wait, self._times.longest_wait)
                self._set_ready(False)
                log.warning("no answer from Jenkins", jenkins=self._settings.name, reason=str(problem), wait_s=wait_s)
                await asyncio.sleep(self._varied(wait_s))
                continue
            except Exception:
                log.exception("a look at Jenkins failed, it is tried again", jenkins=self._settings.name)
                await asyncio.sleep(self._times.longest_wait)
            await self._rest(started)

    def _set_ready(self, ready: bool) -> None:
        self._ready = ready
        if ready:
            self.worker.look()

    async def _rest(self, started: float) -> None:
        """Until the next look: sooner if there is news, but never sooner than the shortest interval."""
        poll_s = self._settings.poll_interval_s
        phases = {each.phase for each in self._books.active}
        overview_s = max(0.0, (self._overview_at or 0.0) + self._times.overview - time.monotonic())
        if Phase.NEW in phases or Phase.QUEUED in phases:
            interval_s = poll_s / 2
        elif phases:
            interval_s = poll_s
        else:
            interval_s = min(self._times.quiet, overview_s) if self._quiet else overview_s
        least_s = started + poll_s / 2 - time.monotonic()
        await asyncio.sleep(max(0.0, self._varied(least_s)))
        try:
            async with asyncio.timeout(max(0.0, self._varied(interval_s) - max(0.0, least_s))):
                await self._wake.wait()
        except TimeoutError:
            return

    def _varied(self, seconds: float) -> float:
        jitter = self._times.jitter
        return seconds * random.uniform(1 - jitter, 1 + jitter)  # noqa: S311 - spreads load, keeps no secret

    async def _round(self) -> None:
        now = time.monotonic()
        every_s = self._times.quiet if self._quiet else self._times.overview
        if self._overview_at is None or now - self._overview_at >= every_s:
            await self._look_around()
            self._overview_at = now
        active = self._due(now)
        if active:
            look = await self._look(active)
            await _all([self._follow(each, next_step(each, look), look.session) for each in active])

    def _due(self, now: float) -> list[Build]:
        """Folders where builds only run are looked at once an interval, others at every look."""
        active = self._books.active
        if now - self._full_at >= self._settings.poll_interval_s * FULL:
            self._full_at = now
            return active
        urgent = {each.job.path[:-1] for each in active if each.phase is not Phase.RUNNING or each.stop_at is not None}
        return [each for each in active if each.job.path[:-1] in urgent]

    async def _look_around(self) -> None:
        """Which jobs and nodes there are."""
        with contextlib.suppress(RefusedError, MissingError):  # seeing nodes is a permission of its own
            self._books.nodes = await self._api.nodes()
        overview = await self._api.overview(self._books.depth)
        self._quiet = overview.quieting_down
        jobs = self._books.learn_jobs(overview.jobs)
        if self._declare and await self._declare_all(jobs.values()):
            jobs = self._books.learn_jobs((await self._api.overview(self._books.depth)).jobs)
        functions = self._books.functions()
        if functions != self.worker.functions:
            log.info("jobs offered", jenkins=self._settings.name, functions=len(functions), jobs=len(jobs))
            self.worker.offer(functions)

    async def _declare_all(self, jobs: Iterable[JenkinsJob]) -> bool:
        """Whether anything was changed."""
        wanted = [*PARAMETERS, *([self._settings.node_param] if self._settings.node_param else [])]
        changed = False
        for job in jobs:
            missing = [each for each in wanted if each not in job.parameters]
            if not missing or job.path in self._undeclarable or not job.buildable:
                continue
            place = f"{address_of(job.path)}/config.xml"
            try:
                await self.http.post_xml(place, with_parameters(await self.http.get_text(place), missing))
            except (ConfigError, MissingError, DisabledError, BadRequestError, BrokenError, RefusedError) as problem:
                self._undeclarable.add(job.path)
                log.warning("parameters cannot be declared", job="/".join(job.path), reason=str(problem))
            else:
                changed = True
                log.info("parameters declared", job="/".join(job.path), parameters=" ".join(missing))
        return changed

    async def _look(self, active: list[Build]) -> Look:
        """First the queue, then the builds: what leaves the one meanwhile is in the other."""
        waiting = any(each.phase in (Phase.NEW, Phase.QUEUED) for each in active)
        queue = await self._api.queue() if waiting else {}
        folders: dict[Path, Counter[Path]] = defaultdict(Counter)
        for each in active:
            folders[each.job.path[:-1]][each.job.path] += 1
        records: dict[str, BuildRecord] = {}
        await _all([self._read_folder(folder, counts, records) for folder, counts in folders.items()])
        return Look(queue, records, self._api.session)

    async def _read_folder(self, folder: Path, counts: Counter[Path], records: dict[str, BuildRecord]) -> None:
        count = max(counts.values()) + SPARE
        if len(counts) >= TOGETHER:
            found = await self._api.builds_in(folder, count)
            for path in counts:
                records |= found.get(path, {})
            return
        for path in counts:
            try:
                records |= await self._api.builds(path, count)
            except MissingError:
                continue  # the job is gone; its builds will be missed one by one

    # One build

    async def _follow(self, build: Build, step: steps.Step, session: str | None) -> None:
        match step:
            case steps.Start():
                await self._start(build)
            case steps.Wait():
                return
            case steps.IsQueued(item):
                self._books.queued(build, item)
                if build.stop_at is not None:
                    await self._take_out(build, item)
            case steps.AskItem(item):
                await self._ask_item(build, item)
            case steps.AskBuild(number):
                await self._ask_build(build, number, session)
            case steps.Runs(record):
                await self._runs(build, record, session)
            case steps.Finished(record):
                self._books.finished(build, record)
                await self._take_offline(build, record)
            case steps.Lost(reason):
                self._books.lost(build, reason)
            case _:
                assert_never(step)

    async def _start(self, build: Build) -> None:
        if build.stop_at is not None:
            self._books.lost(build, "it was stopped before it was started")
            return
        if self._quiet:
            return
        build.unsure = True  # until Jenkins has said what became of it
        try:
            item = await self._api.start(build.job.path, build.parameters)
        except BadRequestError as problem:
            self._books.refused(build, "EXCEPTION", f"Jenkins does not take its parameters: {problem}")
        except DisabledError as problem:
            self._books.refused(build, "NOT_REGISTERED", f"the job is disabled: {problem}")
        except MissingError as problem:
            build.unsure = False
            self._overview_at = None
            self._refused_again(build, "NOT_REGISTERED", f"there is no such job: {problem}")
        except BrokenError as problem:
            self._refused_again(build, "EXCEPTION", str(problem))
        except RefusedError:
            build.unsure = False
            raise
        else:
            self._books.queued(build, item)

    def _refused_again(self, build: Build, result: str, reason: str) -> None:
        build.refusals += 1
        if build.refusals >= TRIES:
            self._books.refused(build, result, reason)

    async def _ask_item(self, build: Build, item: int) -> None:
        try:
            found = await self._api.item(item)
        except MissingError:
            if build.misses >= steps.SURE:
                self._books.lost(build, "it is neither in Jenkins' queue nor among its builds")
            return
        if found.cancelled:
            self._books.lost(build, "somebody took it out of Jenkins' queue")
        elif found.number is not None:
            try:
                record = await self._api.build(build.job.path, found.number)
            except MissingError:
                if build.misses >= steps.SURE:
                    self._books.lost(build, "its build is gone")
                return
            await self._follow(build, step_of(build, record, self._api.session), self._api.session)
        else:
            build.misses = 0

    async def _ask_build(self, build: Build, number: int, session: str | None) -> None:
        try:
            record = await self._api.build(build.job.path, number)
        except MissingError:
            self._books.lost(build, "its build is gone from Jenkins")
            return
        await self._follow(build, step_of(build, record, session), session)

    async def _runs(self, build: Build, record: BuildRecord, session: str | None) -> None:
        self._books.runs(build, record, session)
        self._books.progress(build, time.time() + self._api.clock_skew_s - record.timestamp)
        if build.stop_at is None or build.stops >= (len(STOPS) if build.job.pipeline else 1):
            return
        how, after_s = STOPS[build.stops]
        if time.monotonic() - build.stop_at >= after_s:
            build.stops += 1
            await _unless_gone(self._api.interrupt(build.job.path, record.number, how))

    async def _take_out(self, build: Build, item: int) -> None:
        await _unless_gone(self._api.cancel_item(item))  # if it has left the queue, the next look finds the build
        build.misses = 0

    async def _take_offline(self, build: Build, record: BuildRecord) -> None:
        if self._settings.offline_nodes and build.parameters.get(OFFLINE) in YES and record.built_on is not None:
            reason = f"after {build.name} #{record.number}, as {OFFLINE} asks for"
            await _unless_gone(self._api.take_offline(record.built_on, reason))


async def _unless_gone(request: Coroutine[Any, Any, None]) -> None:
    """What is gone needs nothing done; other refusals of this one thing are logged, not fatal."""
    try:
        await request
    except MissingError:
        return
    except (DisabledError, BadRequestError, BrokenError) as problem:
        log.warning("Jenkins did not do as asked", reason=str(problem))


async def _all(calls: Iterable[Coroutine[Any, Any, None]]) -> None:
    """All to their ends, then the worst that happened: what one build meets is no reason to drop another's answer."""
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    problems = [each for each in outcomes if isinstance(each, BaseException)]
    for kind in (RefusedError, BusyError, BaseException):
        for problem in problems:
            if isinstance(problem, kind):
                raise problem
