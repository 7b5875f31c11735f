"""Runs jobs on whoever offers their function, and waits for their results: for merges on other hosts.

Made for jobs that may run more than once: one whose worker died, whose worker fell silent, or whose server was lost is
submitted again, as a new job, since gearmand keeps the old one as one to be skipped.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import uuid4

import structlog

from ci_gate.gearman import inquiry
from ci_gate.gearman.client import ClientEvents, GearmanClient, NotSentError, RefusedError, Said, Submission
from ci_gate.gearman.inquiry import InquiryError
from ci_gate.job_servers import Address
from ci_gate.model.build import Precedence

MOST_TRIES = 4
RECONNECT_S = 1.0
SILENCE_S = 90.0
LOOK_EVERY_S = 10.0

log = structlog.stdlib.get_logger("zuul.MergeClient")


class JobError(Exception):
    """The job failed as often as it was tried, or the server does not take it."""


@dataclass(eq=False, slots=True)
class _Job:
    """``unique`` is that of its last submission, ``heard_at`` when its worker last gave a sign of life."""

    function: str
    data: bytes
    precedence: Precedence
    result: asyncio.Future[bytes]
    unique: str = field(default_factory=lambda: uuid4().hex)
    most_tries: int = MOST_TRIES
    tries: int = 1
    handle: bytes | None = None
    heard_at: float | None = None


class JobRunner:
    """``silence_s``: a worker that gave signs of life and gives none for so long counts as dead."""

    def __init__(
        self, servers: Sequence[Address], *, reconnect_s: float = RECONNECT_S, silence_s: float = SILENCE_S
    ) -> None:
        self._server = servers[0]
        self._silence_s = silence_s
        events = ClientEvents(
            connected=self._connected,
            lost=self._lost,
            unreachable=self._unreachable,
            created=self._created,
            said=self._said,
            answered=lambda _handle, _known: None,
        )
        self._client = GearmanClient(servers, events, reconnect_s=reconnect_s)
        self._is_connected = False
        self._troubles: dict[Address, str] = {}
        self._to_send: dict[_Job, None] = {}
        self._sent: dict[str, _Job] = {}
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Returns at once; a server that is not there yet is waited for."""
        await self._client.start()
        self._tasks = [
            asyncio.create_task(self._send_all(), name="merge jobs to the job server"),
            asyncio.create_task(self._watch_silence(), name="merge jobs that are silent"),
        ]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.stop()

    async def run(
        self, function: str, data: bytes, precedence: Precedence, *, most_tries: int = MOST_TRIES
    ) -> bytes:
        """The result; for as long as it takes, also for a worker to be there. Raises JobError.

        A lost server is nobody's fault: that counts as no try.
        """
        job = _Job(function, data, precedence, asyncio.get_running_loop().create_future(), most_tries=most_tries)
        self._submit(job)
        try:
            return await job.result
        finally:
            self._forget(job)

    async def offered(self) -> Mapping[str, int]:
        """How many workers offer each function. Raises OSError."""
        try:
            return await inquiry.registered_functions(self._server)
        except InquiryError as problem:
            raise OSError(str(problem)) from problem

    # --- what becomes of a job ---

    def _submit(self, job: _Job) -> None:
        self._to_send[job] = None
        self._wake.set()

    def _forget(self, job: _Job) -> None:
        self._to_send.pop(job, None)
        self._sent.pop(job.unique, None)
        if job.handle is not None:
            self._client.forget(job.handle)

    def _again(self, job: _Job, reason: str) -> None:
        """As a new job; only so often, since the job itself may be what kills its workers."""
        self._forget(job)
        if job.tries >= job.most_tries:
            times = f" {job.tries} times" if job.tries > 1 else ""
            job.result.set_exception(JobError(f"{job.function} failed{times}: {reason}"))
            return
        log.warning("a job runs again", function=job.function, reason=reason, tries=job.tries)
        job.unique, job.handle, job.heard_at = uuid4().hex, None, None
        job.tries += 1
        self._submit(job)

    async def _send_all(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._is_connected and self._to_send:
                await self._send(list(self._to_send))

    async def _send(self, batch: list[_Job]) -> None:
        for job in batch:
            self._to_send.pop(job, None)
            self._sent[job.unique] = job
        submissions = [Submission(job.function, job.unique, job.data, job.precedence) for job in batch]
        try:
            outcomes = await self._client.submit(submissions)
        except NotSentError as problem:
            outcomes = [problem] * len(batch)
        for job, outcome in zip(batch, outcomes, strict=True):
            if job.result.done() or job.unique not in self._sent:
                continue
            if isinstance(outcome, RefusedError):
                job.result.set_exception(JobError(f"the job server refused {job.function}: {outcome}"))
            elif isinstance(outcome, NotSentError):
                self._resubmit(job)
        if any(isinstance(outcome, NotSentError) for outcome in outcomes):
            await asyncio.sleep(RECONNECT_S)

    def _resubmit(self, job: _Job) -> None:
        """After a loss that is not the job's fault."""
        self._sent.pop(job.unique, None)
        job.unique, job.handle, job.heard_at = uuid4().hex, None, None
        self._submit(job)

    async def _watch_silence(self) -> None:
        while True:
            await asyncio.sleep(min(LOOK_EVERY_S, self._silence_s / 3))
            latest = time.monotonic() - self._silence_s
            for job in list(self._sent.values()):
                if job.heard_at is not None and job.heard_at < latest:
                    self._again(job, "its worker has fallen silent")

    # --- what the client tells, on the loop's thread ---

    def _connected(self, _connection: int, server: Address) -> None:
        self._is_connected, self._server = True, server
        self._troubles.clear()
        self._wake.set()

    def _lost(self, _connection: int, reason: str) -> None:
        self._is_connected = False
        server, jobs = str(self._server), len(self._sent)
        log.warning("lost the connection to the job server", server=server, jobs=jobs, reason=reason or None)
        for job in list(self._sent.values()):
            self._resubmit(job)

    def _unreachable(self, server: Address, reason: str) -> None:
        if reason != self._troubles.get(server):
            log.warning("cannot connect to the job server, trying on", server=str(server), reason=reason)
        self._troubles[server] = reason

    def _created(self, _connection: int, unique: str, handle: bytes) -> None:
        job = self._sent.get(unique)
        if job is None:
            self._client.forget(handle)
        else:
            job.handle = handle

    def _said(self, unique: str, what: Said, body: bytes) -> None:
        job = self._sent.get(unique)
        if job is None or job.result.done():
            return
        match what:
            case Said.DATA | Said.STATUS:
                job.heard_at = time.monotonic()
            case Said.COMPLETE:
                job.result.set_result(body)
            case Said.FAIL | Said.EXCEPTION:
                self._again(job, "its worker was lost, or failed")
