"""Requests to stop running builds: ``stop:MANAGER`` jobs (gearman-jenkins.md 5.1). Their outcome is of no interest.

They are foreground jobs, sent without waiting for them: a server drops those when their connection ends, so none is
ever carried out long after it was meant, when its number may belong to another build. For the same reason one that
no manager took within ``limit_s`` is withdrawn. Used by ``launcher.py`` on the loop's thread.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from uuid import uuid4

import structlog

from ci_gate.gearman.client import Submission
from ci_gate.model.build import Precedence

log = structlog.stdlib.get_logger("zuul.Gearman")


@dataclass(slots=True)
class _Stop:
    submission: Submission
    handle: bytes | None = None
    timer: asyncio.TimerHandle | None = None


class Stops:
    """``send`` puts a job into the way to the server; ``withdraw`` cancels a job that waits there."""

    def __init__(
        self, *, send: Callable[[Submission], None], withdraw: Callable[[str, bytes], None], limit_s: float
    ) -> None:
        self._send = send
        self._withdraw = withdraw
        self._limit_s = limit_s
        self._stops: dict[str, _Stop] = {}

    def __contains__(self, unique: object) -> bool:
        return unique in self._stops

    def ask(self, manager: str, job: str, number: int | None, uuid: str) -> None:
        """Have the manager stop build ``number`` of ``job``. Ours know builds by their ``uuid`` too, before they have a
        number; the Jenkins plugin does not look at it."""
        log.info("stopping build", job=job, number=number, manager=manager, uuid=uuid)
        known: dict[str, object] = {"name": job} if number is None else {"name": job, "number": number}
        self._add(f"stop:{manager}", json.dumps(known | {"uuid": uuid}).encode())

    def created(self, unique: str, handle: bytes) -> None:
        """The server has it; from now on it has ``limit_s``."""
        stop = self._stops[unique]
        stop.handle = handle
        stop.timer = asyncio.get_running_loop().call_later(self._limit_s, self._expire, unique)

    def ended(self, unique: str) -> bytes | None:
        """A manager did what it could, or the server refused it. The handle, if there was one."""
        stop = self._stops.pop(unique)
        if stop.timer:
            stop.timer.cancel()
        return stop.handle

    def connection_lost(self) -> None:
        """Those that the server had are gone with the connection: send them again, as new jobs."""
        for unique, stop in list(self._stops.items()):
            if stop.handle is not None:
                self.ended(unique)
                self._add(stop.submission.function, stop.submission.data)

    def close(self) -> None:
        for unique in list(self._stops):
            self.ended(unique)

    def _add(self, function: str, data: bytes) -> None:
        submission = Submission(function, uuid4().hex, data, Precedence.HIGH)
        self._stops[submission.unique] = _Stop(submission)
        self._send(submission)

    def _expire(self, unique: str) -> None:
        function = self._stops[unique].submission.function
        log.warning("nobody took a stop request, it is withdrawn", function=function, after_s=self._limit_s)
        handle = self.ended(unique)
        if handle is not None:
            self._withdraw(unique, handle)
