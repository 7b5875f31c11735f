"""A Gearman worker that may hold many jobs at a time, on one connection (gearman-jenkins.md 1 and 6.6).

Beside the floors, since more than one process is a worker. Knows functions, handles and bytes, nothing of builds. The
worker of gear takes one job at a time and a thread for each; here everything runs on the loop's thread.

A job is asked for only while ``wants`` says that there is room: what nobody took waits in the server, in its order of
precedence, where others can take it too.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import structlog

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
    _say: Callable[..., bool] = field(repr=False)

    def data(self, values: Mapping[str, object]) -> bool:
        return self._say(WORK_DATA, self.handle, json.dumps(values).encode())

    def status(self, numerator: int, denominator: int) -> bool:
        return self._say(WORK_STATUS, self.handle, b"%d" % numerator, b"%d" % denominator)

    def complete(self, values: Mapping[str, object] | None = None) -> bool:
        """True if it was written to the connection that the job came on."""
        return self._say(WORK_COMPLETE, self.handle, json.dumps(values).encode() if values else b"")

    def fail(self) -> bool:
        return self._say(WORK_FAIL, self.handle)

    def exception(self, text: str) -> bool:
        return self._say(WORK_EXCEPTION, self.handle, text.encode())


class GearmanWorker:
    """Connects, registers and takes jobs, and again ``reconnect_s`` after a connection was lost, until cancelled.

    ``on_job`` and ``on_lost`` are called on the loop's thread and must not block.
    """

    def __init__(
        self,
        address: tuple[str, int],
        client_id: str,
        *,
        on_job: Callable[[Job], None],
        on_lost: Callable[[], None] = lambda: None,
        wants: Callable[[], bool] = lambda: True,
        resumes: bool = False,
        tls: ssl.SSLContext | None = None,
        reconnect_s: float = RECONNECT_S,
    ) -> None:
        self._address = address
        self._client_id = client_id
        self._on_job, self._on_lost, self._wants = on_job, on_lost, wants
        self._resumes = resumes
        self._tls = tls
        self._reconnect_s = reconnect_s
        self._functions: set[str] = set()
        self._writer: asyncio.StreamWriter | None = None
        self._asked = False  # a grab is under way
        self._asleep = False
        self._told = ""

    @property
    def connected(self) -> bool:
        return self._writer is not None

    @property
    def functions(self) -> frozenset[str]:
        return frozenset(self._functions)

    def offer(self, functions: Iterable[str]) -> None:
        """From now on exactly these."""
        wanted = set(functions)
        for name in sorted(self._functions - wanted):
            self._send(CANT_DO, name.encode())
        added = sorted(wanted - self._functions)
        for name in added:
            self._send(CAN_DO, name.encode())
        self._functions = wanted
        if added:
            self._asleep = False  # there may be jobs for the new ones, and not every server wakes us for them
            self.look()

    def look(self) -> None:
        """There may be room again: ask for a job."""
        if self._writer is not None and not self._asked and not self._asleep and self._wants():
            self._asked = True
            self._send(GRAB_JOB_UNIQ)

    async def run(self) -> None:
        while True:
            try:
                await self._connect_and_serve()
            except (OSError, EOFError, TimeoutError, ValueError) as problem:
                self._tell(f"{type(problem).__name__}: {problem}".removeprefix("OSError: "))
            finally:
                writer, self._writer = self._writer, None
                self._asked = self._asleep = False
                if writer is not None:
                    writer.transport.abort()
                    self._on_lost()
            await asyncio.sleep(self._reconnect_s)

    def _tell(self, problem: str) -> None:
        if problem != self._told:  # a server that is down is told once
            log.warning("no connection to the Gearman server, trying on", server=self._address[0], reason=problem)
        self._told = problem

    async def _connect_and_serve(self) -> None:
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await asyncio.open_connection(*self._address, ssl=self._tls)
        keep_alive(writer.get_extra_info("socket"))
        try:
            ours = self._resumes and await _is_ours(reader, writer)
        except BaseException:
            writer.transport.abort()
            raise
        self._writer = writer
        self._told = ""
        log.info("connected to the Gearman server", server=self._address[0], port=self._address[1])
        self._send(SET_CLIENT_ID, self._client_id.encode())
        if ours:
            self._send(OPTION_REQ, RESUMES)
        self._send(RESET_ABILITIES)
        for name in sorted(self._functions):
            self._send(CAN_DO, name.encode())
        self.look()
        while True:
            self._take(*await _packet(reader))

    def _take(self, kind: int, body: bytes) -> None:
        if kind == NOOP:
            self._asleep = False
            self.look()
        elif kind == NO_JOB:
            self._asked, self._asleep = False, True
            self._send(PRE_SLEEP)
        elif kind == JOB_ASSIGN_UNIQ:
            self._asked = False
            handle, function, unique, arguments = body.split(b"\0", 3)
            self._on_job(Job(handle, function.decode(), unique.decode(), arguments, self._sayer()))
            self.look()
        elif kind == ERROR:
            answer = body.replace(b"\0", b" ").decode("utf-8", "replace")
            log.warning("the Gearman server refused something", answer=answer)

    def _sayer(self) -> Callable[..., bool]:
        """Speaks on the present connection only: on another, the handle may be another job's."""
        here = self._writer

        def say(kind: int, *arguments: bytes) -> bool:
            if self._writer is not here or here is None:
                return False
            self._send(kind, *arguments)
            return True

        return say

    def _send(self, kind: int, *arguments: bytes) -> None:
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
