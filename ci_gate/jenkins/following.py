"""Following builds in Jenkins from look to look, and stopping them (gearman-jenkins.md 11, 12 and 15).

A look is one question for the queue and one for each job with builds, or for a folder with several such jobs.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Coroutine, Iterable
from typing import Any, Protocol, assert_never

import structlog

from ci_gate.jenkins import builds as steps
from ci_gate.jenkins.api import Api, BuildRecord
from ci_gate.jenkins.builds import Build, Look, Phase, step_of
from ci_gate.jenkins.http import BadRequestError, BrokenError, BusyError, DisabledError, MissingError, RefusedError
from ci_gate.jenkins.names import Path

log = structlog.stdlib.get_logger("ci_gate.Jenkins")

TOGETHER = 3  # jobs of one folder that are asked for with one question
SPARE = 10  # builds of others that may be newer than ours
STOPS = (("stop", 0.0), ("term", 20.0), ("kill", 60.0))  # seconds after the first; the last two for pipelines


class Notes(Protocol):
    """Who is told of builds. ``finished`` and ``lost`` end them."""

    def queued(self, build: Build, item: int | None) -> None: ...

    def runs(self, build: Build, record: BuildRecord, session: str | None) -> None: ...

    def progress(self, build: Build, elapsed_s: float) -> None: ...

    def finished(self, build: Build, record: BuildRecord) -> None: ...

    def lost(self, build: Build, reason: str) -> None: ...


class Follower:
    def __init__(self, api: Api, notes: Notes) -> None:
        self._api = api
        self._notes = notes

    async def look(self, active: Iterable[Build]) -> Look:
        """First the queue, then the builds: what leaves the one meanwhile is in the other."""
        builds = list(active)
        waiting = any(each.phase in (Phase.NEW, Phase.QUEUED) for each in builds)
        queue = await self._api.queue() if waiting else {}
        folders: dict[Path, Counter[Path]] = defaultdict(Counter)
        for each in builds:
            folders[each.job.path[:-1]][each.job.path] += 1
        records: dict[str, BuildRecord] = {}
        await all_of([self._read_folder(folder, counts, records) for folder, counts in folders.items()])
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

    async def follow(self, build: Build, step: steps.Step, session: str | None) -> BuildRecord | None:
        """Do what a step asks for, which is not to start the build. The record that the build ended with, if it did."""
        match step:
            case steps.Start() | steps.Wait():
                return None
            case steps.IsQueued(item):
                self._notes.queued(build, item)
                if build.stop_at is not None:
                    await self._take_out(build, item)
                return None
            case steps.AskItem(item):
                return await self._ask_item(build, item)
            case steps.AskBuild(number):
                return await self._ask_build(build, number, session)
            case steps.Runs(record):
                await self._runs(build, record, session)
                return None
            case steps.Finished(record):
                self._notes.finished(build, record)
                return record
            case steps.Lost(reason):
                self._notes.lost(build, reason)
                return None
            case _:
                assert_never(step)

    async def _ask_item(self, build: Build, item: int) -> BuildRecord | None:
        try:
            found = await self._api.item(item)
        except MissingError:
            if build.misses >= steps.SURE:
                self._notes.lost(build, "it is neither in Jenkins' queue nor among its builds")
            return None
        if found.cancelled:
            self._notes.lost(build, "somebody took it out of Jenkins' queue")
        elif found.number is not None:
            try:
                record = await self._api.build(build.job.path, found.number)
            except MissingError:
                if build.misses >= steps.SURE:
                    self._notes.lost(build, "its build is gone")
                return None
            return await self.follow(build, step_of(build, record, self._api.session), self._api.session)
        else:
            build.misses = 0
        return None

    async def _ask_build(self, build: Build, number: int, session: str | None) -> BuildRecord | None:
        try:
            record = await self._api.build(build.job.path, number)
        except MissingError:
            self._notes.lost(build, "its build is gone from Jenkins")
            return None
        return await self.follow(build, step_of(build, record, session), session)

    async def _runs(self, build: Build, record: BuildRecord, session: str | None) -> None:
        self._notes.runs(build, record, session)
        self._notes.progress(build, time.time() + self._api.clock_skew_s - record.timestamp)
        if build.stop_at is None or build.stops >= (len(STOPS) if build.job.pipeline else 1):
            return
        how, after_s = STOPS[build.stops]
        if time.monotonic() - build.stop_at >= after_s:
            build.stops += 1
            await unless_gone(self._api.interrupt(build.job.path, record.number, how))

    async def _take_out(self, build: Build, item: int) -> None:
        await unless_gone(self._api.cancel_item(item))  # if it has left the queue, the next look finds the build
        build.misses = 0


async def unless_gone(request: Coroutine[Any, Any, None]) -> None:
    """What is gone needs nothing done; other refusals of this one thing are logged, not fatal."""
    try:
        await request
    except MissingError:
        return
    except (DisabledError, BadRequestError, BrokenError) as problem:
        log.warning("Jenkins did not do as asked", reason=str(problem))


async def all_of(calls: Iterable[Coroutine[Any, Any, None]]) -> None:
    """All to their ends, then the worst that happened: what one build meets is no reason to drop another's answer."""
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    problems = [each for each in outcomes if isinstance(each, BaseException)]
    for kind in (RefusedError, BusyError, BaseException):
        for problem in problems:
            if isinstance(problem, kind):
                raise problem
