"""One Jenkins, served: the loop that looks at it and the two Gearman connections (gearman-jenkins.md 10-13).

A look is at most two questions for the queue and for each folder with builds, however many builds there are. Trouble
with Jenkins decides nothing: builds wait until it answers, and no more are taken from the Gearman server meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Iterable
from dataclasses import dataclass

import structlog

from ci_gate.config.settings import GearmanSettings, JenkinsSettings
from ci_gate.jenkins import builds as steps
from ci_gate.jenkins.api import Api, BuildRecord, JenkinsJob
from ci_gate.jenkins.books import Books
from ci_gate.jenkins.builds import OFFLINE, YES, Build, Phase, next_step
from ci_gate.jenkins.declaring import PARAMETERS, ConfigError, with_parameters
from ci_gate.jenkins.following import Follower, all_of, unless_gone
from ci_gate.jenkins.hook import Hook
from ci_gate.jenkins.http import (
    BadRequestError,
    BrokenError,
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
REPEATS = 3  # of a start that Jenkins answers with an error of its own, or with "no such job" (13)


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
    news: float = 0.2  # between two looks that Jenkins' own news cause (12)


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
        self._follower = Follower(self._api, self._books)
        self._manager = Manager(settings.name, self._api, self._books)
        self._wake = asyncio.Event()
        self._news = asyncio.Event()
        self.hook = Hook(settings.hook, self._told) if settings.hook else None
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
                if self.hook:
                    self._group.create_task(self.hook.run())
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

    def _told(self, uuid: str) -> bool:
        """Jenkins says that there is news of a build: look now, at everything."""
        if self._books.build_with(uuid) is None:
            return False
        self._full_at = 0.0
        self._news.set()
        self._wake.set()
        return True

    # The loop

    async def _serve(self) -> None:
        wait_s = 0.0
        while True:
            started = time.monotonic()
            self._wake.clear()
            self._news.clear()
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
        """Until the next look: sooner if there is something to do, never sooner than the shortest interval. If
        Jenkins itself has told news, almost at once.
        """
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
        await asyncio.sleep(max(0.0, min(started + self._times.news - time.monotonic(), least_s)))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, self._varied(least_s))):
                await self._news.wait()
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
            look = await self._follower.look(active)
            self._books.clock_skew_s = self._api.clock_skew_s
            await all_of([self._follow(each, next_step(each, look), look.session) for each in active])

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

    # One build

    async def _follow(self, build: Build, step: steps.Step, session: str | None) -> None:
        if isinstance(step, steps.Start):
            await self._start(build)
            return
        record = await self._follower.follow(build, step, session)
        if record is not None:
            await self._take_offline(build, record)

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
        if build.refusals > REPEATS:
            self._books.refused(build, result, reason)

    async def _take_offline(self, build: Build, record: BuildRecord) -> None:
        if self._settings.offline_nodes and build.parameters.get(OFFLINE) in YES and record.built_on is not None:
            reason = f"after {build.name} #{record.number}, as {OFFLINE} asks for"
            await unless_gone(self._api.take_offline(record.built_on, reason))
