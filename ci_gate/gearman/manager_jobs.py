"""Jobs for managers: ``stop:MANAGER`` and ``set_description:MANAGER`` (gearman-jenkins.md 5). Nobody waits for them.

They are foreground jobs: a server drops those when their connection ends, so none is ever carried out long after it
was meant, when its number may belong to another build. For the same reason one that no manager took within ``limit_s``
is withdrawn. Used by ``launcher.py`` on the loop's thread.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import uuid4

import structlog

from ci_gate.gearman.client import Submission
from ci_gate.model.build import NumberedBuild, Precedence

MOST_UNDESCRIBED = 1000  # while there is no list of functions

log = structlog.stdlib.get_logger("zuul.Gearman")


@dataclass(slots=True)
class _Job:
    submission: Submission
    handle: bytes | None = None
    timer: asyncio.TimerHandle | None = None


class ManagerJobs:
    """``send`` puts a job into the way to the server; ``withdraw`` cancels a job that waits there."""

    def __init__(
        self, *, send: Callable[[Submission], None], withdraw: Callable[[str, bytes], None], limit_s: float
    ) -> None:
        self._send = send
        self._withdraw = withdraw
        self._limit_s = limit_s
        self._jobs: dict[str, _Job] = {}
        self._undescribed: deque[tuple[NumberedBuild, str]] = deque(maxlen=MOST_UNDESCRIBED)

    def __contains__(self, unique: object) -> bool:
        return unique in self._jobs

    def stop(self, manager: str, job: str, number: int | None, uuid: str | None) -> None:
        """Have the manager stop build ``number`` of ``job``. ``uuid`` is for ours, which know builds by it before they
        have a number; the others are sent what the protocol says and nothing else."""
        log.info("stopping build", job=job, number=number, manager=manager, uuid=uuid)
        known = {"name": job, "number": number, "uuid": uuid}
        data = {name: value for name, value in known.items() if value is not None}
        self._add(f"stop:{manager}", json.dumps(data).encode(), Precedence.HIGH)

    def describe(self, builds: Sequence[NumberedBuild], html: str, knows: Callable[[str], bool]) -> bool:
        """Have managers show this beside their builds. ``knows`` says whether a function is registered: what waits for
        one that is not is decided by ``describe_late``. False if something does."""
        for each in builds:
            if knows(_describing(each)):
                self._describe(each, html)
            else:
                self._undescribed.append((each, html))
        return not self._undescribed

    def describe_late(self, knows: Callable[[str], bool]) -> None:
        """What is registered was read again. A manager that is not there even now does not offer it."""
        for build, html in self._undescribed:
            if knows(_describing(build)):
                self._describe(build, html)
        self._undescribed.clear()

    def created(self, unique: str, handle: bytes) -> None:
        """The server has it; from now on it has ``limit_s``."""
        job = self._jobs[unique]
        job.handle = handle
        job.timer = asyncio.get_running_loop().call_later(self._limit_s, self._expire, unique)

    def ended(self, unique: str) -> bytes | None:
        """A manager did what it could, or the server refused it. The handle, if there was one."""
        job = self._jobs.pop(unique)
        if job.timer:
            job.timer.cancel()
        return job.handle

    def connection_lost(self) -> None:
        """Those that the server had are gone with the connection: send them again, as new jobs."""
        for unique, job in list(self._jobs.items()):
            if job.handle is not None:
                self.ended(unique)
                self._add(job.submission.function, job.submission.data, job.submission.precedence)

    def close(self) -> None:
        for unique in list(self._jobs):
            self.ended(unique)

    def _describe(self, build: NumberedBuild, html: str) -> None:
        data = {"name": build.job, "number": build.number, "html_description": html}
        self._add(_describing(build), json.dumps(data).encode(), Precedence.LOW)

    def _add(self, function: str, data: bytes, precedence: Precedence) -> None:
        submission = Submission(function, uuid4().hex, data, precedence)
        self._jobs[submission.unique] = _Job(submission)
        self._send(submission)

    def _expire(self, unique: str) -> None:
        function = self._jobs[unique].submission.function
        log.warning("no manager took a request, it is withdrawn", function=function, after_s=self._limit_s)
        handle = self.ended(unique)
        if handle is not None:
            self._withdraw(unique, handle)


def _describing(build: NumberedBuild) -> str:
    """Not every worker of builds offers it."""
    return f"set_description:{build.manager}"
