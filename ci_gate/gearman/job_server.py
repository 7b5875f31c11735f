"""The built-in Gearman server: gear's, made fast and safe to repeat submissions on (gearman-jenkins.md 7).

``server.py`` runs it in a process of its own. It knows no settings and nothing of builds. What differs from gear's:

* Nagle's algorithm is off on every socket, the accept backlog is long enough for a storm of reconnects.
* With TLS, shaking hands with one peer does not keep others waiting.
* A second submission of a function and unique that it knows attaches to the first job: same handle, all of its
  clients hear of it, and who comes late is told the latest data and status. A running job outlives its clients.
* A worker may say that it ``resumes``: then what it was at when its connection broke waits, with the same handle, for
  it to come back (gearmand does so with every worker); of the others clients hear that the job failed.
* What a build ended with is kept for an hour: whoever asks for it again under its unique id is told.
* Handles are never used twice, not even by a restarted server.
* Finding work looks at functions and sleeping workers, not at every job and connection.
* A client that went away cannot take a worker's connection with it; a client that does not read is dropped.
* Packet type 101, GRAB_JOB, CAN_DO_TIMEOUT, OPTION_REQ, ECHO_REQ and GET_STATUS_UNIQUE are understood; unknown
  requests are answered with an error instead of silence.
"""

# ruff: noqa: N802 - methods named in mixed case are hooks of gear's, which calls them by these names.

from __future__ import annotations

import os
import random
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Any

import gear
from gear import constants

from ci_gate import __version__
from ci_gate.gearman.admin_lines import idle_lines, listing, worker_line
from ci_gate.gearman.handshakes import Handshakes
from ci_gate.gearman.kept import KeptResults
from ci_gate.gearman.waiting import ServerJob, WaitingJobs
from ci_gate.gearman.wire import CAN_DO_MANY, GET_STATUS_UNIQUE, PRODUCT, RESUMES, STATUS_RES_UNIQUE
from ci_gate.keep_alive import keep_alive
from ci_gate.statsd import StatsdLines

BACKLOG = 1024
MAX_UNREAD_PACKETS = 10_000  # queued for one connection before it counts as not reading
ALL_EXCEPTIONS = b"exceptions"


class JobServer(gear.Server):  # type: ignore[misc] # gear has no annotations
    """Listens as soon as it is made; ``port`` is the real one if 0 was asked for. ``shutdown()`` ends it.

    An empty ``host`` means all addresses. Raises ``OSError`` if it cannot listen there.
    """

    # gear sets this one only after its threads have started.
    statsd: StatsdLines | None = None

    def __init__(
        self, host: str, port: int, statsd: StatsdLines | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self._handshakes = Handshakes(tls)
        self._waiting = WaitingJobs()
        self._by_unique: dict[tuple[bytes, bytes], ServerJob] = {}
        self._asleep: set[Any] = set()
        self._resuming: set[Any] = set()
        self._kept = KeptResults()
        self._handlers = self._packet_handlers()
        try:
            super().__init__(port, host=host or None)
        except socket.gaierror:
            raise
        except Exception as error:
            # gear tries every address and then says only that none worked.
            raise _why_not(host, port) from error
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.listen(BACKLOG)
        # A restarted server must not hand out a handle again that someone still asks about.
        self.max_handle = time.time_ns() // 1_000_000
        self.statsd = statsd

    def _packet_handlers(self) -> dict[int, Callable[[Any], None]]:
        return {
            constants.CAN_DO: self.handleCanDo,
            constants.CAN_DO_TIMEOUT: self.handleCanDo,
            CAN_DO_MANY: self._handle_can_do_many,
            constants.CANT_DO: self.handleCantDo,
            constants.RESET_ABILITIES: self.handleResetAbilities,
            constants.SET_CLIENT_ID: self.handleSetClientID,
            constants.PRE_SLEEP: self.handlePreSleep,
            constants.GRAB_JOB: self._handle_grab_job,
            constants.GRAB_JOB_UNIQ: self.handleGrabJobUniq,
            constants.SUBMIT_JOB: self.handleSubmitJob,
            constants.SUBMIT_JOB_HIGH: self.handleSubmitJobHigh,
            constants.SUBMIT_JOB_LOW: self.handleSubmitJobLow,
            constants.SUBMIT_JOB_BG: self.handleSubmitJobBg,
            constants.SUBMIT_JOB_HIGH_BG: self.handleSubmitJobHighBg,
            constants.SUBMIT_JOB_LOW_BG: self.handleSubmitJobLowBg,
            constants.WORK_DATA: self._handle_progress,
            constants.WORK_WARNING: self._handle_progress,
            constants.WORK_STATUS: self._handle_progress,
            constants.WORK_COMPLETE: self._handle_end,
            constants.WORK_FAIL: self._handle_end,
            constants.WORK_EXCEPTION: self._handle_end,
            constants.GET_STATUS: self.handleGetStatus,
            GET_STATUS_UNIQUE: self._handle_get_status_unique,
            constants.ECHO_REQ: self._handle_echo,
            constants.OPTION_REQ: self._handle_option,
            constants.ALL_YOURS: lambda _packet: None,
        }

    def handlePacket(self, packet: Any) -> None:
        """Every packet of every connection, on gear's poll thread."""
        start = time.perf_counter()
        handler = self._handlers.get(packet.ptype)
        if handler is None:
            self.log.warning("Unknown packet type %s from %s", packet.ptype, packet.connection)
            self._error(packet.connection, b"UNKNOWN_COMMAND", b"unknown packet type %d" % packet.ptype)
        else:
            handler(packet)
        self.reportTimingStats(packet.ptype, time.perf_counter() - start)

    # Connections

    def _registerConnection(self, conn: Any) -> None:
        """On gear's accepting thread."""
        try:
            keep_alive(conn.conn)
            self._handshakes.begin(conn)
        except OSError as error:
            self.log.info("%s has gone again: %s", conn, error)
            self.active_connections.remove(conn)
            conn.conn.close()
            return
        super()._registerConnection(conn)

    def _processPollEvent(self, conn: Any, event: int) -> None:
        try:
            shaken = self._handshakes.go_on(conn)
        except OSError:
            self._lostConnection(conn)
            return
        if shaken:
            super()._processPollEvent(conn, event)

    def _lostConnection(self, conn: Any) -> None:
        self._asleep.discard(conn)
        self._handshakes.forget(conn)
        resumes = conn in self._resuming
        self._resuming.discard(conn)
        for job in list(conn.related_jobs.values()):
            if job.worker_connection is conn and resumes:
                job.clients.pop(conn, None)
                self._wait_again(job)
                continue
            if job.worker_connection is conn:
                self._tell_clients(job, _response(constants.WORK_FAIL, job.handle))
                self._forget(job)
                continue
            job.clients.pop(conn, None)
            if not (job.running or job.clients or job.background):
                self._forget(job)
        conn.related_jobs.clear()
        super()._lostConnection(conn)

    def _wait_again(self, job: ServerJob) -> None:
        job.running = False
        job.worker_connection = None
        self._waiting.add(job)
        self.running_jobs -= 1
        self.waiting_jobs += 1
        self._updateStats()
        self._wake_for(job.name)

    def _send(self, connection: Any, packet: Any) -> None:
        """Send without harm to whoever is being served: poll tells of a broken connection by itself."""
        try:
            connection.sendPacket(packet)
            if len(connection.send_queue) > MAX_UNREAD_PACKETS:
                self.log.warning("Dropping %s: it does not read", connection)
                connection.conn.shutdown(socket.SHUT_RDWR)
        except OSError as error:
            self.log.info("Cannot send to %s: %s", connection, error)

    def _error(self, connection: Any, code: bytes, text: bytes) -> None:
        self._send(connection, _response(constants.ERROR, code, text))

    # Clients

    def _handleSubmitJob(self, packet: Any, precedence: int, background: bool = False) -> None:
        connection = packet.connection
        function, unique, arguments = packet.data.split(b"\x00", 2)
        job = self._by_unique.get((function, unique)) if unique else None
        ended = self._kept.get(function, unique) if job is None else None
        if ended is not None:
            for each in (_response(constants.JOB_CREATED, ended.handle), *ended.packets):
                self._send(connection, each)
            return
        is_new = job is None
        if job is None:
            job = self._new_job(connection.host, function, unique, arguments, precedence)
        if background:
            job.background = True
        else:
            job.clients[connection] = None
            connection.related_jobs[job.handle] = job
        self._send(connection, _response(constants.JOB_CREATED, job.handle))
        if is_new:
            self._wake_for(function)
        elif not background:
            for each in job.progress.values():
                self._send(connection, each)

    def _new_job(self, host: str, function: bytes, unique: bytes, arguments: bytes, precedence: int) -> ServerJob:
        self.max_handle += 1
        handle = f"H:{host}:{self.max_handle}".encode()
        job = ServerJob(handle, function, unique, arguments, precedence, order=self.max_handle)
        self.jobs[handle] = job
        if unique:
            self._by_unique[function, unique] = job
        self._waiting.add(job)
        self.total_jobs += 1
        self.waiting_jobs += 1
        self._updateStats()
        return job

    def _forget(self, job: ServerJob) -> None:
        if job.running:
            self.running_jobs -= 1
        else:
            self._waiting.remove(job)
            self.waiting_jobs -= 1
        self.total_jobs -= 1
        for connection in (*job.clients, job.worker_connection):
            if connection is not None:
                connection.related_jobs.pop(job.handle, None)
        self._by_unique.pop((job.name, job.binary_unique), None)
        del self.jobs[job.handle]
        self._updateStats()

    def _handle_get_status_unique(self, packet: Any) -> None:
        unique = packet.data
        job = next((each for each in self.jobs.values() if each.binary_unique == unique), None)
        if job is None:
            known = b"1" if self._kept.knows(unique) else b"0"
            answer = _response(STATUS_RES_UNIQUE, unique, known, b"0", b"", b"", b"0")
        else:
            progress = (job.numerator or b"", job.denominator or b"")
            answer = _response(
                STATUS_RES_UNIQUE, unique, b"1", b"%d" % job.running, *progress, b"%d" % len(job.clients)
            )
        self._send(packet.connection, answer)

    def _handle_option(self, packet: Any) -> None:
        if packet.data == ALL_EXCEPTIONS:  # always delivered here
            self._send(packet.connection, _response(constants.OPTION_RES, packet.data))
        elif packet.data == RESUMES:
            self._resuming.add(packet.connection)
            self._send(packet.connection, _response(constants.OPTION_RES, packet.data))
        else:
            self._error(packet.connection, b"UNKNOWN_OPTION", b"unknown option")

    def _handle_echo(self, packet: Any) -> None:
        self._send(packet.connection, _response(constants.ECHO_RES, packet.data))

    # Workers

    def handleCanDo(self, packet: Any) -> None:
        self._add_functions(packet.connection, [packet.getArgument(0)])

    def _handle_can_do_many(self, packet: Any) -> None:
        packet.connection.functions = set()
        self._add_functions(packet.connection, [each for each in packet.data.split(b"\x00") if each])

    def _add_functions(self, connection: Any, names: Sequence[bytes]) -> None:
        connection.functions.update(names)
        self.functions.update(names)
        if connection in self._asleep and any(self._waiting.has(name) for name in names):
            self.wakeConnection(connection)

    def handleCantDo(self, packet: Any) -> None:
        packet.connection.functions.discard(packet.getArgument(0))

    def handlePreSleep(self, packet: Any) -> None:
        packet.connection.changeState("SLEEP")
        self._asleep.add(packet.connection)
        if self._waiting.next_for(packet.connection.functions):
            self.wakeConnection(packet.connection)

    def wakeConnection(self, connection: Any) -> None:
        self._asleep.discard(connection)
        connection.changeState("AWAKE")
        self._send(connection, _response(constants.NOOP))

    def _wake_for(self, function: bytes) -> None:
        """Wake all that could do it: a Jenkins executor that is woken may take long to grab, or never do so."""
        able = [each for each in self._asleep if function in each.functions]
        random.shuffle(able)
        for connection in able:
            self.wakeConnection(connection)

    def getJobForConnection(self, connection: Any, peek: bool = False) -> ServerJob | None:
        job = self._waiting.next_for(connection.functions)
        if job is None or peek:
            return job
        self._waiting.remove(job)
        job.running = True
        job.worker_connection = connection
        connection.related_jobs[job.handle] = job
        self.waiting_jobs -= 1
        self.running_jobs += 1
        self._updateStats()
        return job

    def _handle_grab_job(self, packet: Any) -> None:
        job = self.getJobForConnection(packet.connection)
        if job is None:
            self.sendNoJob(packet.connection)
        else:
            self._send(packet.connection, _response(constants.JOB_ASSIGN, job.handle, job.name, job.arguments))

    def _handle_progress(self, packet: Any) -> None:
        job = self._job_of(packet)
        if job is None:
            return
        packet.code = constants.RES
        job.progress[packet.ptype] = packet
        if packet.ptype == constants.WORK_STATUS:
            _, job.numerator, job.denominator = packet.data.split(b"\x00", 2)
        self._tell_clients(job, packet)

    def _handle_end(self, packet: Any) -> None:
        job = self._job_of(packet)
        if job is None:
            return
        packet.code = constants.RES
        self._tell_clients(job, packet)
        if packet.ptype == constants.WORK_COMPLETE:
            self._kept.keep(job, packet)
        self._forget(job)

    def _job_of(self, packet: Any) -> ServerJob | None:
        job: ServerJob | None = self.jobs.get(packet.getArgument(0))
        if job is None:
            self.log.info("Packet type %s for an unknown job from %s", packet.ptype, packet.connection)
        return job

    def _tell_clients(self, job: ServerJob, packet: Any) -> None:
        for connection in job.clients:
            self._send(connection, packet)

    # Administrators

    def handleAdminRequest(self, request: Any) -> None:
        """One line of text; every one is answered. ``cancel job`` takes only what waits, and tells no client."""
        match request.command.split():
            case [b"status"]:
                answer = listing(b"%s\t%d\t%d\t%d" % (name, *n) for name, n in self._getFunctionStats().items())
            case [b"workers"]:
                answer = listing(worker_line(each) for each in list(self.active_connections))
            case [b"idle"]:
                answer = listing(idle_lines(self.jobs.values(), list(self.active_connections), self._waiting.counts()))
            case [b"cancel", b"job", handle]:
                answer = self._cancel(handle)
            case [b"version"]:
                answer = f"OK {PRODUCT} {__version__}\n".encode()
            case _:
                answer = b"ERR UNKNOWN_COMMAND Unknown+server+command\n"
        request.connection.sendRaw(answer)

    def _cancel(self, handle: bytes) -> bytes:
        job = self.jobs.get(handle)
        if job is None or job.running:
            return b"ERR UNKNOWN_JOB\n"
        self._forget(job)
        return b"OK\n"


def _response(packet_type: int, *arguments: bytes) -> Any:
    return gear.Packet(constants.RES, packet_type, b"\x00".join(arguments))


def _why_not(host: str, port: int) -> OSError:
    """What the system says to listening there."""
    family, *_, address = socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_ADDRCONFIG
    )[0]
    try:
        socket.create_server(address, family=family).close()
    except OSError as error:
        return OSError(error.errno, os.strerror(error.errno or 0))
    return OSError("the port could not be opened")
