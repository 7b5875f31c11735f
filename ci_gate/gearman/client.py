"""The connection to the job server: gear's client in its own threads, with a face for the loop's thread.

Used by ``launcher.py``; knows jobs as function, unique and bytes, nothing of builds. gear's threads connect and
read, one thread of ours sends and waits for answers; what arrives is handed to the loop's thread in its order.

gear's own client needs these corrections (0.16): Nagle's algorithm is on; connecting and reading have no deadline;
a packet for an unknown job raises in the middle of the reader's buffer; a submission waits out its whole timeout
when its connection is lost, and then closes the next one; a lost server is tried again without any pause.
"""

# ruff: noqa: N802 - methods named in mixed case are hooks of gear's, which calls them by these names.

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from typing import Any

import gear
from gear import constants

from ci_gate.gearman.tls_socket import TlsSocket
from ci_gate.handover import Handover
from ci_gate.job_servers import Address
from ci_gate.keep_alive import keep_alive
from ci_gate.model.build import Precedence

IO_S = 10.0  # for connecting, and for the rest of a packet that has begun
ANSWER_S = 30.0  # for JOB_CREATED and the like
SUBMIT = {
    Precedence.HIGH: constants.SUBMIT_JOB_HIGH,
    Precedence.NORMAL: constants.SUBMIT_JOB,
    Precedence.LOW: constants.SUBMIT_JOB_LOW,
}


class Said(Enum):
    """What a worker said about a job; warnings count as data."""

    DATA = "WORK_DATA"
    STATUS = "WORK_STATUS"
    COMPLETE = "WORK_COMPLETE"
    FAIL = "WORK_FAIL"
    EXCEPTION = "WORK_EXCEPTION"


@dataclass(frozen=True, slots=True)
class Submission:
    """One job as it is sent."""

    function: str
    unique: str
    data: bytes
    precedence: Precedence


class NotSentError(Exception):
    """There is no connection, or it was lost before an answer came: whether it arrived is not known."""


class RefusedError(Exception):
    """The server answered with an error; the text is its own."""


@dataclass(frozen=True, slots=True)
class ClientEvents:
    """Called on the loop's thread. Connections are counted from 1."""

    connected: Callable[[int, Address], None]
    lost: Callable[[int, str], None]  # why, if the system said so
    unreachable: Callable[[Address, str], None]  # why; once for each try
    created: Callable[[int, str, bytes], None]  # connection, unique, handle
    said: Callable[[str, Said, bytes], None]  # unique, what, body without the handle
    answered: Callable[[bytes, bool], None]  # handle, whether the server knows it


class GearmanClient:
    """Connected to one of ``servers`` while that goes well, then to the same again, or to the next that is there.

    For ever, with a try every ``reconnect_s`` seconds.
    """

    def __init__(self, servers: Sequence[Address], events: ClientEvents, *, reconnect_s: float) -> None:
        self._servers = servers
        self._events = events
        self._reconnect_s = reconnect_s
        self._sender = ThreadPoolExecutor(1, "gearman-send")
        self._gear: _Gear | None = None

    async def start(self) -> None:
        """Begin to connect; ``events.connected`` tells when it is done."""
        post = Handover(asyncio.get_running_loop()).post
        self._gear = _Gear(self._servers, self._events, post, self._reconnect_s)

    async def stop(self) -> None:
        client, self._gear = self._gear, None
        if client:
            await asyncio.to_thread(client.shutdown)
        await asyncio.to_thread(self._sender.shutdown)

    async def submit(self, submissions: Sequence[Submission]) -> list[NotSentError | RefusedError | None]:
        """Send them in one go, and return when the server has answered each; what became of each, None if it is
        there. Raises NotSentError if there is no connection."""
        outcomes: list[NotSentError | RefusedError | None] = await self._call(lambda client: client.submit(submissions))
        return outcomes

    async def cancel(self, connection: int, handle: bytes) -> bool:
        """``cancel job`` on the very connection that the handle came from: another server may use it for another
        job. True if the server says OK. Raises NotSentError."""
        return bool(await self._call(lambda client: client.cancel(connection, handle)))

    async def ask_status(self, handles: Sequence[bytes]) -> None:
        """Ask whether the server knows these; ``events.answered`` brings the answers. Raises NotSentError."""
        await self._call(lambda client: client.ask_status(handles))

    async def request_exceptions(self) -> None:
        """Have WORK_EXCEPTION delivered as such; only for servers that answer OPTION_REQ."""
        await self._call(lambda client: client.setOption("exceptions", ANSWER_S))

    async def drop(self) -> None:
        """Give up the present connection, which does not answer; a new one is made."""
        await self._call(lambda client: client.drop())

    def forget(self, handle: bytes) -> None:
        """Nothing more about this job is of interest. Does not block."""
        if self._gear:
            self._gear.forget(handle)

    async def _call(self, call: Callable[[_Gear], Any]) -> Any:
        if self._gear is None:
            raise NotSentError("not running")
        return await asyncio.get_running_loop().run_in_executor(self._sender, call, self._gear)


class _Connection(gear.Connection):  # type: ignore[misc] # gear has no annotations
    """Used for one connection to the server, never again after it was lost."""

    def __init__(self, address: Address, number: int) -> None:
        super().__init__(address.host, address.port, client_id="ci-gate")
        self.address = address
        self.number = number
        self.problem = ""
        self.refusals: dict[Any, str] = {}  # by task

    def connect(self) -> None:
        """Raises OSError."""
        connection = socket.create_connection((self.host, self.port), timeout=IO_S)
        try:
            keep_alive(connection)
            tls = self.address.tls
            self.conn = TlsSocket(connection, tls, self.host, IO_S) if tls else connection
        except BaseException:
            connection.close()
            raise
        self.connected = True

    def hasPendingData(self) -> bool:
        return bool(self.input_buffer) or (isinstance(self.conn, TlsSocket) and self.conn.pending() > 0)

    def _readRawBytes(self, bytes_to_read: int) -> bytes:
        return bytes(self.conn.recv(bytes_to_read))

    def disconnect(self) -> None:
        """Close it, and let go whoever waits for an answer on it."""
        if self.connected:
            self.connected = False
            with contextlib.suppress(OSError):
                self.conn.shutdown(socket.SHUT_RDWR)
            self.conn.close()
        for each in (*self.pending_tasks, *self.admin_requests):
            each.setComplete()

    def sendRaw(self, data: bytes) -> None:
        with self.send_lock:
            self.conn.sendall(data)

    def readPacket(self) -> Any:
        """None, which gear takes for the end of the connection, also for everything that is not a packet."""
        try:
            return super().readPacket()
        except (OSError, IndexError, gear.InvalidDataError) as error:
            self.log.info("Connection to %s port %s: %s", self.host, self.port, error)
            self.problem = str(error)
            return None


class _Gear(gear.Client):  # type: ignore[misc] # gear has no annotations
    """Methods in mixed case run on gear's threads, the others on the sender's, unless they say otherwise."""

    def __init__(
        self,
        servers: Sequence[Address],
        events: ClientEvents,
        post: Callable[..., object],
        reconnect_s: float,
    ) -> None:
        self._servers = deque(servers)  # the next one to try is the first
        self._events = events
        self._post = post
        self._reconnect_s = reconnect_s
        self._last_try = -reconnect_s
        self._connections = 0
        super().__init__("ci-gate")
        with self.connections_condition:
            # gear's connecting thread works as long as a connection is inactive.
            self.inactive_connections.append(_Connection(servers[0], 0))
            self.connections_condition.notify_all()

    # Sending

    def submit(self, submissions: Sequence[Submission]) -> list[NotSentError | RefusedError | None]:
        """All are sent before the first answer is waited for: gear's own way costs a round trip for each."""
        connection = self._current()
        tasks = [gear.SubmitJobTask(gear.Job(each.function, each.data, each.unique)) for each in submissions]
        with contextlib.suppress(OSError):  # those that were not sent get no answer
            for submission, task in zip(submissions, tasks, strict=True):
                connection.pending_tasks.append(task)
                self.sendPacket(_request(submission), connection)
        ends_at = time.monotonic() + ANSWER_S
        return [self._outcome(connection, task, ends_at) for task in tasks]

    def _outcome(self, connection: Any, task: Any, ends_at: float) -> NotSentError | RefusedError | None:
        if connection.connected and not task.wait(max(0.0, ends_at - time.monotonic())):
            self._give_up(connection)
        if task.job.handle:
            return None
        refusal = connection.refusals.pop(task, "")
        return RefusedError(refusal) if refusal else NotSentError("the connection was lost before an answer came")

    def cancel(self, number: int, handle: bytes) -> bool:
        connection = self._current()
        if connection.number != number:
            raise NotSentError("the connection was lost")
        request = gear.CancelJobAdminRequest(handle)
        try:
            connection.sendAdminRequest(request, ANSWER_S)
        except (OSError, gear.TimeoutError) as error:
            # Without its answer, later answers could no longer be told apart.
            self._give_up(connection)
            raise NotSentError(f"cancel job: {error or 'no answer'}") from error
        if request.response is None:
            raise NotSentError("the connection was lost")
        return bool(request.response.startswith(b"OK"))

    def ask_status(self, handles: Sequence[bytes]) -> None:
        connection = self._current()
        try:
            for handle in handles:
                self.sendPacket(gear.Packet(constants.REQ, constants.GET_STATUS, handle), connection)
        except OSError as error:
            raise NotSentError(str(error)) from error

    def drop(self) -> None:
        with contextlib.suppress(NotSentError):
            self._give_up(self._current())

    def _give_up(self, connection: Any) -> None:
        """It does not answer, though it may well accept the next connection: another server is tried first."""
        connection.problem = "the server does not answer"
        with self.connections_condition:
            if connection in self.active_connections and self._servers[0] is connection.address:
                self._servers.rotate(-1)
        self._lostConnection(connection)

    def forget(self, handle: bytes) -> None:
        """On any thread."""
        for connection in self.active_connections[:]:
            connection.related_jobs.pop(handle, None)

    def sendPacket(self, packet: Any, connection: Any) -> None:
        try:
            connection.sendPacket(packet)
        except OSError:
            self._lostConnection(connection)
            raise

    def _current(self) -> Any:
        try:
            return self.getConnection()
        except gear.NoConnectedServersError as error:
            raise NotSentError("not connected") from error

    # Connecting

    def _connectLoop(self) -> bool:
        """Once round: close what was lost, wait for the next try's time, try. True: gear need not wait."""
        with self.connections_condition:
            lost = list(self.inactive_connections)
        for each in lost:
            each.disconnect()
        with self.connections_condition:
            pause_s = self._last_try + self._reconnect_s - time.monotonic()
            self.connections_condition.wait_for(lambda: not self.running, max(0.0, pause_s))
        if not self.running:
            return True
        self._last_try = time.monotonic()
        server = self._servers[0]
        connection = _Connection(server, self._connections + 1)
        try:
            connection.connect()
        except OSError as error:
            self._servers.rotate(-1)
            self._post(self._events.unreachable, server, error.strerror or str(error))
            return True
        self._connections += 1
        with self.connections_condition:
            self.inactive_connections.clear()
            self.active_connections.append(connection)
            self.connections_condition.notify_all()
            os.write(self.wake_write, b"1\n")
        self._post(self._events.connected, connection.number, server)
        return True

    def _lostConnection(self, conn: Any) -> None:
        """On any of the threads, and by more than one of them for the same connection."""
        with self.connections_condition:
            if conn not in self.active_connections:
                return
            super()._lostConnection(conn)
        self._post(self._events.lost, conn.number, conn.problem)

    def _cleanup(self) -> None:
        for connection in (*self.active_connections, *self.inactive_connections):
            connection.disconnect()
        super()._cleanup()

    # Reading

    def _pollLoop(self) -> None:
        try:
            super()._pollLoop()
        except gear.RetryIOError:
            return  # part of a TLS record: the rest of it is waited for
        except (OSError, ValueError) as error:
            # A connection was closed under its feet: it begins again with those that are left.
            self.log.debug("Polling begins again: %s", error)

    def handlePacket(self, packet: Any) -> None:
        """Nothing may be raised into gear's loop: it would leave the rest of its buffer unread."""
        try:
            super().handlePacket(packet)
        except gear.UnknownJobError:
            self.log.debug("Ignored, its job is unknown: %s", packet)
        except (gear.GearmanError, IndexError, ValueError):
            self.log.exception("Dropping the connection after a packet out of place: %s", packet)
            self._lostConnection(packet.connection)

    def handleJobCreated(self, packet: Any) -> None:
        job = super().handleJobCreated(packet)
        self._post(self._events.created, packet.connection.number, job.unique.decode(), job.handle)

    def handleError(self, packet: Any) -> None:
        text = packet.data.replace(b"\x00", b" ").decode(errors="replace").strip()
        for task in packet.connection.pending_tasks[:1]:
            packet.connection.refusals[task] = text
        super().handleError(packet)

    def handleStatusRes(self, packet: Any) -> None:
        handle, known, _ = packet.data.split(b"\x00", 2)
        self._post(self._events.answered, handle, known == b"1")

    def handleWorkData(self, packet: Any) -> None:
        self._said(Said.DATA, packet)

    def handleWorkWarning(self, packet: Any) -> None:
        self._said(Said.DATA, packet)

    def handleWorkStatus(self, packet: Any) -> None:
        self._said(Said.STATUS, packet)

    def handleWorkComplete(self, packet: Any) -> None:
        self._said(Said.COMPLETE, packet)

    def handleWorkFail(self, packet: Any) -> None:
        self._said(Said.FAIL, packet)

    def handleWorkException(self, packet: Any) -> None:
        self._said(Said.EXCEPTION, packet)

    def _said(self, what: Said, packet: Any) -> None:
        unique = packet.getJob().unique.decode()
        self._post(self._events.said, unique, what, packet.getArgument(1, last=True))


def _request(submission: Submission) -> Any:
    body = b"\x00".join((submission.function.encode(), submission.unique.encode(), submission.data))
    return gear.Packet(constants.REQ, SUBMIT[submission.precedence], body)
