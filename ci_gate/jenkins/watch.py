"""One Jenkins, asked about builds that others started: is there one with this uuid, and what becomes of it?

For builds that a job server lost (``records.py``). It is looked at only while there is something to find or to follow:
one question for its jobs and one for its queue, then one or two for each job that is asked for, however many builds.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from ci_gate.config.settings import JenkinsSettings
from ci_gate.jenkins.api import MOST_BUILDS, UUID, Api, BuildRecord, JenkinsJob, QueueItem
from ci_gate.jenkins.builds import Build, Finished, Look, Phase, next_step, step_of
from ci_gate.jenkins.following import SPARE, Follower, all_of
from ci_gate.jenkins.http import Http, JenkinsError, MissingError, RefusedError
from ci_gate.jenkins.names import JobPaths, address_of
from ci_gate.model.build import BuildEnd, BuildUpdate, Worker
from ci_gate.model.elsewhere import Absent

log = structlog.stdlib.get_logger("ci_gate.Jenkins")


@dataclass(frozen=True, slots=True)
class WatchTimes:
    """All in seconds."""

    limit: float = 30.0  # for finding a build
    jobs_age: float = 60.0  # after which the list of jobs is read again
    pause: float = 60.0  # after the credentials were refused
    shortest_wait: float = 1.0  # after trouble, doubled each time
    longest_wait: float = 30.0
    jitter: float = 0.2  # of every interval


@dataclass(slots=True)
class Told:
    updated: Callable[[BuildUpdate], None]
    ended: Callable[[BuildEnd], None]


@dataclass(frozen=True, slots=True)
class Found:
    """A sighting (see ``model/elsewhere.py``)."""

    watch: Watch
    build: Build

    def follow(self, updated: Callable[[BuildUpdate], None], ended: Callable[[BuildEnd], None]) -> None:
        self.watch.follow(self.build, Told(updated, ended))

    def stop(self) -> None:
        self.watch.stop(self.build)


class Watch:
    """Used on the loop's thread. ``find`` and ``follow`` set its loop going."""

    def __init__(self, settings: JenkinsSettings, times: WatchTimes) -> None:
        self._settings = settings
        self._times = times
        self._http = Http(settings)
        self._api = Api(self._http, time.time)
        self._follower = Follower(self._api, self)
        self._paths = JobPaths(settings.job_path)
        self._jobs: dict[str, list[JenkinsJob]] = {}
        self._jobs_at: float | None = None
        self._labels: Mapping[str, tuple[str, ...]] = {}
        self._sought: dict[str, tuple[str, asyncio.Future[Found | Absent | None]]] = {}
        self._followed: dict[str, tuple[Build, Told | None]] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        return self._settings.name

    def covers(self, job: str) -> bool:
        return self._settings.jobs is None or self._settings.jobs.match(job) is not None

    async def find(self, uuid: str, job: str) -> Found | Absent | None:
        """None: there is no such job. Tries for as long as Jenkins does not answer. Raises JenkinsError."""
        future: asyncio.Future[Found | Absent | None] = asyncio.get_running_loop().create_future()
        self._sought[uuid] = job, future
        self._go()
        try:
            return await future
        finally:
            if self._sought.get(uuid) == (job, future):
                del self._sought[uuid]

    def follow(self, build: Build, told: Told) -> None:
        self._followed[build.uuid] = build, told
        asyncio.get_running_loop().call_soon(self._tell_first, build)
        self._go()

    def _tell_first(self, build: Build) -> None:
        """What was seen when it was found."""
        if build.record is None:
            return
        match step_of(build, build.record, None):
            case Finished(record):
                self.finished(build, record)
            case _:
                self.runs(build, build.record, self._api.session)

    def stop(self, build: Build) -> None:
        if build.phase is Phase.ENDED or build.stop_at is not None:
            return
        build.stop_at = time.monotonic()
        self._followed.setdefault(build.uuid, (build, None))
        self._go()

    async def close(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._http.close()

    # The loop

    def _go(self) -> None:
        self._wake.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name=f"builds at Jenkins {self.name}")

    async def _run(self) -> None:
        wait_s = 0.0
        while self._sought or self._followed:
            self._wake.clear()
            try:
                await self._round()
                wait_s = 0.0
                await self._rest()
            except JenkinsError as problem:
                refused = isinstance(problem, RefusedError)
                wait_s = min(2 * wait_s or self._times.shortest_wait, self._times.longest_wait)
                log.warning("no answer from Jenkins about builds", jenkins=self.name, reason=str(problem))
                if refused:
                    self._http.renew()
                    self._give_up(problem)
                await asyncio.sleep(self._varied(self._times.pause if refused else wait_s))
            except Exception as problem:
                log.exception("a look at Jenkins failed", jenkins=self.name)
                self._give_up(JenkinsError(f"{type(problem).__name__}: {problem}"))
                await asyncio.sleep(self._times.longest_wait)

    def _give_up(self, problem: JenkinsError) -> None:
        """What is followed is tried again, what is to be found is not."""
        for _, future in self._sought.values():
            if not future.done():
                future.set_exception(problem)

    async def _rest(self) -> None:
        """Half an interval at least; a whole one if nothing is new."""
        half_s = self._varied(self._settings.poll_interval_s / 2)
        await asyncio.sleep(half_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(half_s):
                await self._wake.wait()

    def _varied(self, seconds: float) -> float:
        return seconds * random.uniform(1 - self._times.jitter, 1 + self._times.jitter)  # noqa: S311 - spreads load

    async def _round(self) -> None:
        if self._sought:
            await self._seek()
        if self._followed:
            active = [build for build, _ in self._followed.values()]
            look = await self._follower.look(active)
            await all_of([self._step(each, look) for each in active])

    async def _step(self, build: Build, look: Look) -> None:
        await self._follower.follow(build, next_step(build, look), look.session)

    # Finding

    async def _seek(self) -> None:
        """First the queue, then the builds: what leaves the one meanwhile is in the other."""
        sought = {uuid: job for uuid, (job, future) in self._sought.items() if not future.done()}
        await self._learn_jobs()
        candidates = {each.path: each for name in sought.values() for each in self._jobs.get(name, [])}
        queue = await self._api.queue() if candidates else {}
        seen: dict[str, Build] = {}
        for_each = {
            path: {uuid for uuid, name in sought.items() if job in self._jobs.get(name, ()) and uuid not in queue}
            for path, job in candidates.items()
        }
        await all_of([self._read(job, sought, for_each[path], seen) for path, job in candidates.items()])
        for uuid, name in sought.items():
            if uuid in seen:
                self._answer(uuid, Found(self, seen[uuid]))
            elif uuid in queue and name in self._jobs:
                self._answer(uuid, Found(self, self._waiting(uuid, name, queue[uuid])))
            else:
                self._answer(uuid, self._absence(name))

    async def _learn_jobs(self) -> None:
        """Which jobs there are; of one name there may be several, in different folders: any may have run a build."""
        now = time.monotonic()
        if self._jobs_at is not None and now - self._jobs_at < self._times.jobs_age:
            return
        with contextlib.suppress(RefusedError, MissingError):  # seeing nodes is a permission of its own
            self._labels = (await self._api.nodes()).labels
        found: dict[str, list[JenkinsJob]] = defaultdict(list)
        for job in (await self._api.overview(self._paths.depth)).jobs:
            named = self._paths.name_of(job.path)
            if named is not None:
                found[named[1]].append(job)
        self._jobs, self._jobs_at = dict(found), now

    async def _read(self, job: JenkinsJob, names: Mapping[str, str], wanted: set[str], seen: dict[str, Build]) -> None:
        """Older builds cost Jenkins much, and are asked for only if one is not among the latest."""
        for count in (len(wanted) + SPARE, MOST_BUILDS):
            if wanted <= seen.keys():
                return
            try:
                records = await self._api.builds(job.path, count)
            except MissingError:
                return  # deleted just now
            for uuid in records.keys() & wanted:
                seen[uuid] = Build(uuid, names[uuid], job, {}, record=records[uuid], phase=Phase.RUNNING)

    def _waiting(self, uuid: str, name: str, item: QueueItem) -> Build:
        jobs = sorted(self._jobs[name], key=lambda job: len(job.path), reverse=True)
        job = next((each for each in jobs if item.task.endswith(f"/{address_of(each.path)}")), jobs[0])
        return Build(uuid, name, job, {}, item=item.id, phase=Phase.QUEUED)

    def _absence(self, name: str) -> Absent | None:
        jobs = self._jobs.get(name)
        if jobs is None:
            return None
        if all(UUID in job.parameters for job in jobs):
            return Absent.CERTAIN
        log.warning("builds of this job cannot be told apart: it does not declare ZUUL_UUID", job=name)
        return Absent.UNCERTAIN

    def _answer(self, uuid: str, found: Found | Absent | None) -> None:
        _, future = self._sought.get(uuid, ("", None))
        if future is not None and not future.done():
            future.set_result(found)

    # What is told of builds that are followed (``following.Notes``)

    def queued(self, build: Build, item: int | None) -> None:
        build.item = item if item is not None else build.item

    def runs(self, build: Build, record: BuildRecord, session: str | None) -> None:
        build.record, build.session = record, session
        first, build.phase = not build.told_at, Phase.RUNNING
        told = self._followed.get(build.uuid, (build, None))[1]
        if first and told is not None:
            build.told_at = time.monotonic()
            told.updated(self._update(build, record))

    def progress(self, build: Build, elapsed_s: float) -> None:
        """The gate knows its start."""

    def finished(self, build: Build, record: BuildRecord) -> None:
        update = self._update(build, record)
        ended_at = update.started_at + record.duration_s if update.started_at and record.duration_s else None
        self._end(build, BuildEnd(build.uuid, record.result, last=update, ended_at=ended_at))

    def lost(self, build: Build, reason: str) -> None:
        log.warning("build lost, the gate will launch another", job=build.name, uuid=build.uuid, reason=reason)
        self._end(build, BuildEnd(build.uuid, None, reason=reason))

    def _end(self, build: Build, end: BuildEnd) -> None:
        build.phase = Phase.ENDED
        _, told = self._followed.pop(build.uuid, (build, None))
        if told is not None:
            told.ended(end)

    def _update(self, build: Build, record: BuildRecord) -> BuildUpdate:
        """As workers say it, but for the manager: nobody may serve this section's."""
        node = None if build.job.pipeline or record.built_on is None else record.built_on or "master"
        return BuildUpdate(
            build.uuid,
            started=True,
            number=record.number,
            url=record.url or None,
            worker=Worker(name=node) if node else None,
            node_name=node,
            node_labels=self._labels.get(record.built_on or "", ()) if node else (),
            estimate_s=record.estimate_s,
            started_at=record.timestamp - self._api.clock_skew_s if record.timestamp else None,
        )
