"""Servers and workers that break down under load: every build ends with exactly one result (gearman-jenkins.md 9)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import Counter

import pytest
from gear import constants
from gearman_parts import DEADLINE_S, GEARMANDS, HOST, QUICK, Bench, Embedded, data, when

from ci_gate.gearman.inquiry import registered_functions
from ci_gate.gearman.job_server import JobServer
from ci_gate.gearman.packets import Packet, PacketStream
from ci_gate.job_servers import Address
from ci_gate.model.build import BuildEnd
from ci_gate.sandbox.jenkins import Jenkins, Node
from ci_gate.worker_connection import GearmanWorker, Job

BUILDS, EXECUTORS, BUILD_S = 400, 40, 0.01
STORM = 500

RESTARTED = [Embedded, GEARMANDS]


class Gate(Bench):
    """Launches a build again that ended without a result, as the scheduler does, and keeps the results of each job."""

    def __init__(self, *arguments, **settings) -> None:
        super().__init__(*arguments, **settings)
        self.results: dict[int, list[str]] = {}
        self.uncounted = 0
        self._wanted: dict[str, int] = {}

    def want(self, number: int) -> None:
        self._wanted[self.launch()] = number

    def ended(self, end: BuildEnd) -> None:
        super().ended(end)
        number = self._wanted.pop(end.uuid)  # a second end of one build would not be found
        if end.result is None:
            self.uncounted += not end.counted
            self.want(number)
        else:
            self.results.setdefault(number, []).append(end.result)


class Executor:
    """One job at a time, for ``BUILD_S``; its result is lost if the connection was."""

    def __init__(self, port: int, number: int) -> None:
        self._number = number
        self._held: Job | None = None
        self._worker = GearmanWorker(
            [Address(HOST, port)],
            f"node-{number}_exec-0",
            on_job=self._take,
            wants=lambda: self._held is None,
            reconnect_s=0.05,
        )
        self._worker.offer(["build:unit"])
        self._task = asyncio.create_task(self._worker.run())

    def _take(self, job: Job) -> None:
        self._held = job
        self._number += 1000
        job.data({"name": "unit", "number": self._number, "manager": "m"})
        asyncio.get_running_loop().call_later(BUILD_S, self._done, job)

    def _done(self, job: Job) -> None:
        self._held = None
        job.complete({"name": "unit", "number": self._number, "manager": "m", "result": "SUCCESS"})
        self._worker.look()

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@pytest.mark.parametrize("make", RESTARTED)
async def test_a_server_that_is_killed_twice_under_load_costs_no_result(make, tmp_path):
    server = make()
    await server.start()
    executors = [Executor(server.port, number) for number in range(EXECUTORS)]
    try:
        async with Gate(server.port, tmp_path) as gate:
            for number in range(BUILDS):
                gate.want(number)
            for part in (BUILDS // 4, BUILDS // 2):
                await when(
                    lambda part=part: len(gate.results) >= part and gate.launcher.state.counts.running,
                    f"{part} results, and builds that run",
                )
                await server.break_down()
            await when(lambda: len(gate.results) == BUILDS, "all results")
            await asyncio.sleep(5 * BUILD_S)  # in which a second result would come
    finally:
        await asyncio.gather(*(each.stop() for each in executors))
        await server.stop()
    assert Counter(tuple(each) for each in gate.results.values()) == {("SUCCESS",): BUILDS}
    assert gate.uncounted, "builds ran when the server died, and no try was counted for that"


@pytest.mark.parametrize("make", RESTARTED)
async def test_five_hundred_executors_come_back_at_once_and_work_on(make, tmp_path):
    server = make()
    await server.start()
    jenkins = Jenkins(server.port, nodes=[Node(f"node-{number}", 4) for number in range(STORM // 4)], reconnect_s=0.1)
    jenkins.add_job("unit", lambda _parameters, _folder: "SUCCESS", fetch=False)
    await jenkins.start()
    try:
        await jenkins.ready(DEADLINE_S)
        async with Gate(server.port, tmp_path) as gate:
            await when(lambda: gate.launcher.state.connected, "the connection")
            await server.break_down()
            for number in range(STORM):
                gate.want(number)
            await when(lambda: len(gate.results) == STORM, "all results")
            await jenkins.ready(DEADLINE_S)
            workers = await registered_functions(Address(HOST, server.port))
    finally:
        await jenkins.stop()
        await server.stop()
    assert Counter(tuple(each) for each in gate.results.values()) == {("SUCCESS",): STORM}
    assert workers["build:unit"] == STORM
    assert len(jenkins.builds) == STORM, "none ran twice"


class RawWorker:
    """A worker packet by packet, on a connection that can be broken in every way."""

    def __init__(self, stream: PacketStream, connection: socket.socket) -> None:
        self._stream = stream
        self._connection = connection

    @classmethod
    async def connect(cls, port: int, *functions: str) -> RawWorker:
        reader, writer = await asyncio.open_connection(HOST, port)
        made = cls(PacketStream(reader, writer), writer.get_extra_info("socket"))
        await made.say(constants.SET_CLIENT_ID, b"node-1_exec-0")
        for each in functions:
            await made.say(constants.CAN_DO, each.encode())
        return made

    async def say(self, kind: int, *arguments: bytes) -> None:
        await self._stream.send(kind, *arguments)

    async def job(self) -> bytes:
        """The handle of the next one."""
        while True:
            await self.say(constants.GRAB_JOB_UNIQ)
            packet = await self._until(constants.NO_JOB, constants.JOB_ASSIGN_UNIQ)
            if packet.kind == constants.JOB_ASSIGN_UNIQ:
                return packet.arguments(4)[0]
            await self.say(constants.PRE_SLEEP)
            await self._until(constants.NOOP)

    async def _until(self, *kinds: int) -> Packet:
        async with asyncio.timeout(DEADLINE_S):
            while (packet := await self._stream.receive()).kind not in kinds:
                pass
        return packet

    def reset(self) -> None:
        """TCP RST, as of a host that knows nothing of the connection any more."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._stream.close()

    def close(self) -> None:
        self._stream.close()


async def test_a_worker_whose_connection_is_reset_loses_its_build_to_another(server, tmp_path):
    first = await RawWorker.connect(server.port, "build:unit")
    async with Gate(server.port, tmp_path) as gate:
        gate.want(1)
        handle = await first.job()
        await first.say(constants.WORK_DATA, handle, data())
        await when(lambda: gate.updates, "its start")
        first.reset()
        second = await RawWorker.connect(server.port, "build:unit")
        handle = await second.job()
        await second.say(constants.WORK_COMPLETE, handle, data(result="SUCCESS", number=8))
        await when(lambda: gate.results, "the result")
        assert gate.results == {1: ["SUCCESS"]}
        second.close()


async def test_what_a_worker_says_late_on_a_new_connection_ends_nothing_twice(server, tmp_path):
    first = await RawWorker.connect(server.port, "build:unit")
    async with Gate(server.port, tmp_path) as gate:
        gate.want(1)
        late = await first.job()
        first.reset()
        back = await RawWorker.connect(server.port, "build:unit")
        handle = await back.job()
        await back.say(constants.WORK_COMPLETE, handle, data(result="FAILURE"))
        await back.say(constants.WORK_COMPLETE, late, data(result="SUCCESS"))
        await back.say(constants.WORK_COMPLETE, handle, data(result="SUCCESS"))
        gate.want(2)
        await back.say(constants.WORK_COMPLETE, await back.job(), data(result="SUCCESS"))
        await when(lambda: 2 in gate.results, "the next result")
        assert gate.results == {1: ["FAILURE"], 2: ["SUCCESS"]}
        back.close()


async def test_a_worker_that_registers_twice_is_one_worker(server, tmp_path):
    twice = await RawWorker.connect(server.port, "build:unit", "build:unit")
    await twice.say(constants.RESET_ABILITIES)
    await twice.say(constants.CAN_DO, b"build:unit")
    async with Gate(server.port, tmp_path) as gate:
        gate.want(1)
        gate.want(2)
        handle = await twice.job()
        workers = await registered_functions(Address(HOST, server.port))
        assert workers["build:unit"] == 1
        await twice.say(constants.WORK_COMPLETE, handle, data(result="SUCCESS"))
        await twice.say(constants.WORK_COMPLETE, await twice.job(), data(result="SUCCESS"))
        await when(lambda: len(gate.results) == 2, "both results")
        twice.close()


class FrozenPath:
    """Between the gate and its server. ``freeze``: what is connected stays so, and nothing comes through any more."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._frozen: set[asyncio.Task] = set()
        self._pumps: set[asyncio.Task] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None
        self.port = 0
        self.connections = 0

    async def __aenter__(self) -> FrozenPath:
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_) -> None:
        self._server.close()
        self.freeze()
        for each in self._writers:
            each.transport.abort()

    def freeze(self) -> None:
        for each in self._pumps:
            each.cancel()
        self._pumps.clear()

    async def _serve(self, reader, writer) -> None:
        self.connections += 1
        inside, to_inside = await asyncio.open_connection(HOST, self._port)
        self._writers += [writer, to_inside]
        self._pumps |= {
            asyncio.create_task(self._pump(reader, to_inside)),
            asyncio.create_task(self._pump(inside, writer)),
        }

    async def _pump(self, source, target) -> None:
        with contextlib.suppress(OSError):
            while piece := await source.read(65536):
                target.write(piece)
        target.transport.abort()


@pytest.mark.parametrize("make", RESTARTED)
async def test_a_server_that_is_cut_off_without_a_word_is_given_up_and_its_builds_found_again(make, tmp_path):
    server = make()
    await server.start()
    worker = await RawWorker.connect(server.port, "build:unit")
    times = {**{name: getattr(QUICK, name) for name in QUICK.__slots__}, "answer_limit": 0.3}
    async with FrozenPath(server.port) as path, Gate(path.port, tmp_path, type(QUICK)(**times)) as gate:
        gate.want(1)
        handle = await worker.job()
        await worker.say(constants.WORK_DATA, handle, data())
        await when(lambda: gate.updates, "its start")
        path.freeze()
        known = len(gate.updates)
        async with asyncio.timeout(DEADLINE_S):
            while len(gate.updates) == known:  # until it is attached again; the states on the way may pass unseen
                await worker.say(constants.WORK_DATA, handle, data(url="http://j/again/"))
                await asyncio.sleep(0.05)
        assert path.connections > 1
        await worker.say(constants.WORK_COMPLETE, handle, data(result="SUCCESS"))
        await when(lambda: gate.results, "the result")
        assert gate.results == {1: ["SUCCESS"]}
    worker.close()
    await server.stop()


async def test_dead_peers_are_looked_for_on_every_connection_of_our_server():
    """A worker whose host lost its power says nothing, and only the system's probes tell; they are not waited for."""
    server = JobServer(HOST, 0)
    worker = await RawWorker.connect(server.port, "build:unit")
    try:
        await when(lambda: server.active_connections, "the connection")
        connection = server.active_connections[0].conn
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        idle, interval, count, unanswered_ms = (
            connection.getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
        )
        assert idle + interval * count <= 60
        assert 0 < unanswered_ms <= 60_000
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    finally:
        worker.close()
        await asyncio.to_thread(server.shutdown)
