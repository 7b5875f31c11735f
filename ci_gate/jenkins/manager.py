"""``stop:NAME`` and ``set_description:NAME``, as the Jenkins plugin serves them (gearman-jenkins.md 6.5 and 11.6).

A number alone may belong to another build by now: a build is stopped only if its uuid is the one that was named, or the
one that this process knows it by, or, for builds of a process before it, if it has one at all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import structlog

from ci_gate.jenkins.api import Api, JenkinsJob
from ci_gate.jenkins.builds import Build
from ci_gate.jenkins.http import JenkinsError, MissingError
from ci_gate.worker_connection import Job

log = structlog.stdlib.get_logger("ci_gate.Jenkins")


class Books(Protocol):
    """What is known of jobs and builds."""

    def job_named(self, name: str) -> JenkinsJob | None: ...

    def build_numbered(self, name: str, number: int) -> Build | None: ...

    def ended_as(self, name: str, number: int) -> Build | None: ...

    def build_with(self, uuid: str) -> Build | None: ...

    def stop(self, build: Build) -> None: ...


class Manager:
    def __init__(self, name: str, api: Api, books: Books) -> None:
        self._api = api
        self._books = books
        self._verbs: Mapping[str, Callable[[Job, Any], Any]] = {
            f"stop:{name}": self._stop,
            f"set_description:{name}": self._describe,
        }

    @property
    def functions(self) -> frozenset[str]:
        return frozenset(self._verbs)

    async def serve(self, job: Job) -> None:
        try:
            wanted = json.loads(job.arguments)
            await self._verbs[job.function](job, wanted)
        except (ValueError, KeyError, TypeError, AttributeError) as problem:
            job.exception(f"the request cannot be understood: {problem!r}")
        except MissingError:
            job.exception("there is no such build")
        except JenkinsError as problem:
            log.warning("request not carried out", function=job.function, reason=str(problem))
            job.exception(str(problem))

    async def _stop(self, job: Job, wanted: Mapping[str, Any]) -> None:
        uuid = str(wanted.get("uuid") or "")
        build = self._books.build_with(uuid) if uuid else None
        if build is not None:
            self._books.stop(build)
            job.complete()
        elif uuid and wanted.get("number") is None:
            await self._take_out(job, uuid)
        else:
            await self._stop_numbered(job, str(wanted["name"]), int(wanted["number"]), uuid)

    async def _take_out(self, job: Job, uuid: str) -> None:
        """Of a process before this one; it had no number when its stop was asked for."""
        item = (await self._api.queue()).get(uuid)
        if item is None:
            job.fail()
            return
        await self._api.cancel_item(item.id)
        job.complete()

    async def _stop_numbered(self, job: Job, name: str, number: int, uuid: str) -> None:
        build = self._books.build_numbered(name, number)
        found = await self._found(name, number, build, uuid)
        if found is None:
            job.fail()
        elif build is not None:
            self._books.stop(build)
            job.complete()
        else:
            log.info("stopping a build of a process before this one", job=name, number=number)
            await self._api.interrupt(found.path, number)
            job.complete()

    async def _found(self, name: str, number: int, build: Build | None, uuid: str) -> JenkinsJob | None:
        """The job of a build that runs and is the one that is meant; None: it does not. Raises MissingError."""
        job = build.job if build else self._books.job_named(name)
        if job is None:
            raise MissingError("there is no such job")
        record = await self._api.build(job.path, number)
        meant = uuid or (build.uuid if build else "")
        expected = record.uuid == meant if meant else bool(record.uuid)
        if not expected:
            log.warning("not stopped: the number belongs to another build", job=name, number=number)
        return job if record.building and expected else None

    async def _describe(self, job: Job, wanted: Mapping[str, Any]) -> None:
        name, number = str(wanted["name"]), int(wanted["number"])
        build = self._books.build_numbered(name, number) or self._books.ended_as(name, number)
        path = build.job if build else self._books.job_named(name)
        if path is None:
            raise MissingError("there is no such job")
        record = await self._api.build(path.path, number)
        if not record.uuid or (build is not None and record.uuid != build.uuid):
            log.warning("not described: the number belongs to another build", job=name, number=number)
            job.fail()
            return
        text = wanted.get("html_description", wanted.get("description"))
        await self._api.describe(path.path, number, str(text if text is not None else ""))
        job.complete()
