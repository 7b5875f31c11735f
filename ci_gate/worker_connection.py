"""A Gearman worker that may hold many jobs at a time, on one connection to each server (gearman-jenkins.md 1 and 6.6).

Beside the floors, since more than one process is a worker. Knows functions, handles and bytes, nothing of builds. The
worker of gear takes one job at a time and a thread for each; here everything runs on the loop's thread.

A job is asked for only while ``wants`` says that there is room: what nobody took waits in the server, in its order of
precedence, where others can take it too.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog

from ci_gate.job_servers import Address
from ci_gate.keep_alive import keep_alive

CAN_DO, CANT_DO, RESET_ABILITIES, PRE_SLEEP = 1, 2, 3, 4
NOOP, NO_JOB, GRAB_JOB_UNIQ, JOB_ASSIGN_UNIQ = 6, 10, 30, 31
WORK_STATUS, WORK_COMPLETE, WORK_FAIL, WORK_EXCEPTION, WORK_DATA = 12, 13, 14, 25, 28
ERROR, SET_CLIENT_ID, OPTION_REQ = 19, 22, 26
HEADER = struct.Struct("!4sII")
REQUEST, RESPONSE = b"\0REQ", b"\0RES"
LARGEST_PACKET = 64 * 2**20
CONNECT_S = 10.0
RECONNECT_S = 2.0
VERSION_S = 2.0  # gear's server does not answer "version" at all
OWN_SERVER = b"OK ci-gate "
RESUMES = b"resumes"  # an option of our server: jobs of a worker that comes back are kept for it

log = structlog.stdlib.get_logger("ci_gate.Worker")


@dataclass(frozen=True, slots=True)
class Job:
    """One job as it was assigned. What is said after its connection was lost reaches nobody."""

    handle: bytes
    function: str
    unique: str
    arguments: bytes
    _line: _Line = field(repr=False)
    _connection: int = field(repr=False)

    @property
    def is_ours(self) -> bool:
        """Its connection is the present one: on another, the handle may be another job's."""
        return self._line.connection == self._connection

    def data(self, values: Mapping[str, object]) -> bool:
        return self._say(WORK_DATA, json.dumps(values).encode())

    def status(self, numerator: int, denominator: int) -> bool:
        return self._say(WORK_STATUS, b"%d" % numerator, b"%d" % denominator)

    def complete(self, values: object = None) -> bool:
        """True if it was written to the connection that the job came on."""
        return self._say(WORK_COMPLETE, json.dumps(values).encode() if values is not None else b"")

    def fail(self) -> bool:
        return self._say(WORK_FAIL)

    def exception(self, text: str) -> bool:
        return self._say(WORK_EXCEPTION, text.encode())

    def _say(self, kind: int, *arguments: bytes) -> bool:
        if not self.is_ours:
            return False
        self._line.send(kind, self.handle, *arguments)
        return True


class GearmanWorker:
    """Connects, registers and takes jobs, and again ``reconnect_s`` after a connection was lost, until cancelled.

    From each of several servers, since nobody knows to which of them a job goes. ``on_job`` and ``on_lost`` are called
    on the loop's thread and must not block; after ``on_lost`` some jobs are not ours any more. ``wants`` is asked
    before each job, so there are never more than it allows.
    """

    def __init__(
        self,
        servers: Sequence[Address],
        client_id: str,
        *,
        on_job: Callable[[Job], None],
        on_lost: Callable[[], None] = lambda: None,
        wants: Callable[[], bool] = lambda: True,
        resumes: bool = False,
        reconnect_s: float = RECONNECT_S,
    ) -> None:
        self._client_id = client_id
        self._on_job, self._on_lost, self._wants = on_job, on_lost, wants
        self._resumes = resumes
        self._reconnect_s = reconnect_s
        self._functions: set[str] = set()
        self._lines = [_Line(each, self._take) for each in servers]
        self._asked: _Line | None = None  # where a grab is under way

    @property
    def connected(self) -> bool:
        return any(each.is_up for each in self._lines)

    @property
    def functions(self) -> frozenset[str]:
        return frozenset(self._functions)

    def offer(self, functions: Iterable[str]) -> None:
        """From now on exactly these."""
        wanted = set(functions)
        added = sorted(wanted - self._functions)
        for line in self._lines:
            for name in sorted(self._functions - wanted):
                line.send(CANT_DO, name.encode())
            for name in added:
                line.send(CAN_DO, name.encode())
            if added:
                line.asleep = False  # there may be jobs for the new ones, and not every server wakes us for them
        self._functions = wanted
        self.look()

    def look(self) -> None:
        """There may be room again: ask for a job, at one server after the other."""
        if self._asked is not None or not self._wants():
            return
        awake = [each for each in self._lines if each.is_up and not each.asleep]
        if awake:
            self._asked = awake[0]
            self._lines.remove(self._asked)  # the next time it is the others' turn
            self._lines.append(self._asked)
            self._asked.send(GRAB_JOB_UNIQ)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for line in tuple(self._lines):
                group.create_task(self._keep(line), name=f"{self._client_id} at {line.server}")

    async def _keep(self, line: _Line) -> None:
        while True:
            try:
                async with line.connected(resumes=self._resumes):
                    line.send(SET_CLIENT_ID, self._client_id.encode())
                    line.send(RESET_ABILITIES)
                    for name in sorted(self._functions):
                        line.send(CAN_DO, name.encode())
                    self.look()
                    await line.listen()
            except (OSError, EOFError, TimeoutError, ValueError) as problem:
                line.tell(f"{type(problem).__name__}: {problem}".removeprefix("OSError: "))
            finally:
                if self._asked is line:
                    self._asked = None
                if line.was_up:
                    line.was_up = False
                    self._on_lost()
                    self.look()
            await asyncio.sleep(self._reconnect_s)

    def _take(self, line: _Line, kind: int, body: bytes) -> None:
        if kind == NOOP:
            line.asleep = False
        elif kind == NO_JOB:
            self._asked, line.asleep = None, True
            line.send(PRE_SLEEP)
        elif kind == JOB_ASSIGN_UNIQ:
            self._asked = None
            handle, function, unique, arguments = body.split(b"\0", 3)
            self._on_job(Job(handle, function.decode(), unique.decode(), arguments, line, line.connection))
        elif kind == ERROR:
            answer = body.replace(b"\0", b" ").decode("utf-8", "replace")
            log.warning("the Gearman server refused something", answer=answer)
        self.look()


class _Line:
    """The connection to one server. ``connection`` counts them, and is 0 while there is none."""

    def __init__(self, server: Address, take: Callable[[_Line, int, bytes], None]) -> None:
        self.server = server
        self.connection = 0
        self.asleep = False
        self.was_up = False
        self._take = take
        self._connections = 0
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._told = ""

    @property
    def is_up(self) -> bool:
        return self._writer is not None

    def tell(self, problem: str) -> None:
        if problem != self._told:  # a server that is down is told once
            log.warning("no connection to the Gearman server, trying on", server=str(self.server), reason=problem)
        self._told = problem

    @asynccontextmanager
    async def connected(self, *, resumes: bool) -> AsyncIterator[None]:
        """Raises OSError and TimeoutError."""
        server = self.server
        async with asyncio.timeout(CONNECT_S):
            self._reader, writer = await asyncio.open_connection(server.host, server.port, ssl=server.tls)
        try:
            keep_alive(writer.get_extra_info("socket"))
            ours = resumes and await _is_ours(self._reader, writer)
            self._writer, self.asleep, self.was_up = writer, False, True
            self._connections += 1
            self.connection = self._connections
            self._told = ""
            log.info("connected to the Gearman server", server=str(server))
            if ours:
                self.send(OPTION_REQ, RESUMES)
            yield
        finally:
            self._writer, self.connection = None, 0
            writer.transport.abort()

    async def listen(self) -> None:
        """Until the connection ends. Raises OSError, EOFError and ValueError."""
        assert self._reader is not None  # noqa: S101 - it is listened to while it is connected
        while True:
            self._take(self, *await _packet(self._reader))

    def send(self, kind: int, *arguments: bytes) -> None:
        if self._writer is not None:
            body = b"\0".join(arguments)
            self._writer.write(HEADER.pack(REQUEST, kind, len(body)) + body)


async def _packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    magic, kind, size = HEADER.unpack(await reader.readexactly(HEADER.size))
    if magic != RESPONSE or size > LARGEST_PACKET:
        raise ValueError("the server sent what is not a Gearman packet")
    return kind, await reader.readexactly(size)


async def _is_ours(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    writer.write(b"version\n")
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(VERSION_S):
            return (await reader.readline()).startswith(OWN_SERVER)
    return False
