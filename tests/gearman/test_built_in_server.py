"""The built-in job server, packet by packet (gearman-jenkins.md 1 and 7), as gear's and gearmand's clients know it."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager

import pytest
from gear import constants
from gearman_parts import DEADLINE_S, HOST, when

from ci_gate.gearman.inquiry import registered_functions
from ci_gate.gearman.job_server import BACKLOG, JobServer
from ci_gate.gearman.packets import Packet, PacketStream
from ci_gate.gearman.wire import CAN_DO_MANY, GET_STATUS_UNIQUE, STATUS_RES_UNIQUE
from ci_gate.job_servers import Address

JOB = b"build:unit"


@pytest.fixture
async def server():
    made = JobServer(HOST, 0)
    yield made
    await asyncio.to_thread(made.shutdown)


class Peer:
    def __init__(self, stream: PacketStream) -> None:
        self._stream = stream

    async def say(self, kind: int, *arguments: bytes) -> None:
        await self._stream.send(kind, *arguments)

    async def hears(self, *kinds: int) -> Packet:
        """The next packet, which has to be one of these."""
        async with asyncio.timeout(DEADLINE_S):
            packet = await self._stream.receive()
        assert packet.kind in kinds, packet
        return packet

    async def submit(self, unique: bytes = b"", data: bytes = b"{}", kind: int = constants.SUBMIT_JOB) -> bytes:
        """The handle."""
        await self.say(kind, JOB, unique, data)
        return (await self.hears(constants.JOB_CREATED)).body

    async def grab(self) -> tuple[bytes, ...] | None:
        await self.say(constants.GRAB_JOB_UNIQ)
        packet = await self.hears(constants.JOB_ASSIGN_UNIQ, constants.NO_JOB)
        return tuple(packet.arguments(4)) if packet.kind == constants.JOB_ASSIGN_UNIQ else None

    async def nothing_more(self) -> None:
        """Everything that was sent before has been dealt with, and brought no packet."""
        await self.say(constants.ECHO_REQ, b"there?")
        assert (await self.hears(constants.ECHO_RES)).body == b"there?"

    def close(self) -> None:
        self._stream.close()


@asynccontextmanager
async def peers(server: JobServer, count: int):
    made = [Peer(await PacketStream.connect(Address(HOST, server.port))) for _ in range(count)]
    try:
        yield made
    finally:
        for each in made:
            each.close()


async def line(server: JobServer, text: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(HOST, server.port)
    writer.write(text + b"\n")
    async with asyncio.timeout(DEADLINE_S):
        answer = await reader.readline()
    writer.close()
    return answer.rstrip(b"\n")


async def workers(server: JobServer, function: str) -> int | None:
    return (await registered_functions(Address(HOST, server.port))).get(function)


async def test_urgent_jobs_come_first_and_others_in_their_order_over_all_functions(server):
    async with peers(server, 2) as (client, worker):
        for name, kind in (
            (b"1", constants.SUBMIT_JOB_LOW),
            (b"2", constants.SUBMIT_JOB),
            (b"3", constants.SUBMIT_JOB_HIGH),
            (b"4", constants.SUBMIT_JOB),
        ):
            function = b"build:other" if name == b"2" else JOB
            await client.say(kind, function, name, b"")
            await client.hears(constants.JOB_CREATED)
        await worker.say(CAN_DO_MANY, JOB + b"\0build:other")
        assert [(await worker.grab())[2] for _ in range(4)] == [b"3", b"2", b"4", b"1"]
        assert await worker.grab() is None


async def test_many_functions_in_one_packet_replace_those_before(server):
    async with peers(server, 1) as (worker,):
        await worker.say(constants.CAN_DO, b"build:old")
        await worker.say(CAN_DO_MANY, b"build:a\0build:b")
        await worker.nothing_more()
        assert [await workers(server, f"build:{each}") for each in ("old", "a", "b")] == [0, 1, 1]


async def test_functions_stay_listed_when_their_workers_have_left(server):
    async with peers(server, 1) as (worker,):
        await worker.say(constants.CAN_DO, JOB)
        await worker.nothing_more()
        assert await workers(server, "build:unit") == 1
        await worker.say(constants.CANT_DO, JOB)
        await worker.nothing_more()
        assert await workers(server, "build:unit") == 0
    await when(lambda: not server.active_connections, "it to have left")
    assert await workers(server, "build:unit") == 0


async def test_the_last_argument_may_have_zero_bytes_in_it(server):
    async with peers(server, 2) as (client, worker):
        handle = await client.submit(b"u", b"a\0b\0")
        await worker.say(constants.CAN_DO, JOB)
        assert await worker.grab() == (handle, JOB, b"u", b"a\0b\0")
        await worker.say(constants.WORK_COMPLETE, handle, b"c\0d")
        assert (await client.hears(constants.WORK_COMPLETE)).body == handle + b"\0c\0d"


async def test_a_worker_that_sleeps_is_woken_for_what_it_can_do_alone(server):
    async with peers(server, 3) as (client, worker, other):
        await worker.say(constants.CAN_DO, JOB)
        await other.say(constants.CAN_DO, b"build:other")
        for each in (worker, other):
            assert await each.grab() is None
            await each.say(constants.PRE_SLEEP)
            await each.nothing_more()
        await client.submit()
        await worker.hears(constants.NOOP)
        await other.nothing_more()


async def test_the_same_submission_again_attaches_and_is_told_the_latest(server):
    async with peers(server, 3) as (first, second, worker):
        handle = await first.submit(b"u")
        await worker.say(constants.CAN_DO, JOB)
        await worker.grab()
        await worker.say(constants.WORK_DATA, handle, b"old")
        await worker.say(constants.WORK_DATA, handle, b"new")
        await worker.say(constants.WORK_STATUS, handle, b"1", b"2")
        await worker.nothing_more()
        assert await second.submit(b"u") == handle
        assert (await second.hears(constants.WORK_DATA)).body.endswith(b"new")
        assert (await second.hears(constants.WORK_STATUS)).body.endswith(b"1\x002")
        await worker.say(constants.WORK_COMPLETE, handle, b"end")
        await second.hears(constants.WORK_COMPLETE)
        for kind in (constants.WORK_DATA, constants.WORK_DATA, constants.WORK_STATUS, constants.WORK_COMPLETE):
            await first.hears(kind)


async def test_a_cancel_takes_what_waits_and_nothing_else(server):
    async with peers(server, 2) as (client, worker):
        running, waiting = await client.submit(b"1"), await client.submit(b"2")
        await worker.say(constants.CAN_DO, JOB)
        await worker.grab()
        assert await line(server, b"cancel job " + running) == b"ERR UNKNOWN_JOB"
        assert await line(server, b"cancel job " + waiting) == b"OK"
        assert await line(server, b"cancel job " + waiting) == b"ERR UNKNOWN_JOB"
        assert await worker.grab() is None
        await client.nothing_more()


async def test_when_a_client_leaves_what_waits_is_dropped_and_what_runs_goes_on(server):
    async with peers(server, 2) as (worker, watcher):
        client = Peer(await PacketStream.connect(Address(HOST, server.port)))
        running = await client.submit(b"1")
        await client.submit(b"2")
        await worker.say(constants.CAN_DO, JOB)
        assert (await worker.grab())[0] == running
        client.close()
        await when(lambda: len(server.jobs) == 1, "the one that waits to be dropped")
        await worker.say(constants.WORK_COMPLETE, running, b"end")
        assert await worker.grab() is None
        assert await watcher.submit(b"1") == running, "what it ended with is kept for who asks again"
        await watcher.hears(constants.WORK_COMPLETE)


async def test_when_a_worker_leaves_its_job_has_failed(server):
    async with peers(server, 1) as (client,):
        handle = await client.submit(b"1")
        worker = Peer(await PacketStream.connect(Address(HOST, server.port)))
        await worker.say(constants.CAN_DO, JOB)
        await worker.grab()
        worker.close()
        assert (await client.hears(constants.WORK_FAIL)).body == handle


async def test_exceptions_are_delivered_and_the_option_is_answered(server):
    async with peers(server, 2) as (client, worker):
        handle = await client.submit(b"1")
        await client.say(constants.OPTION_REQ, b"exceptions")
        assert (await client.hears(constants.OPTION_RES)).body == b"exceptions"
        await client.say(constants.OPTION_REQ, b"nonsense")
        assert (await client.hears(constants.ERROR)).body.startswith(b"UNKNOWN_OPTION\0")
        await worker.say(constants.CAN_DO, JOB)
        await worker.grab()
        await worker.say(constants.WORK_EXCEPTION, handle, b"Oops")
        assert (await client.hears(constants.WORK_EXCEPTION)).body == handle + b"\0Oops"


async def test_a_job_is_asked_for_by_its_handle_and_by_its_id(server):
    async with peers(server, 2) as (client, worker):
        handle = await client.submit(b"u")
        await client.say(constants.GET_STATUS, handle)
        assert (await client.hears(constants.STATUS_RES)).body.split(b"\0")[1:3] == [b"1", b"0"]
        await worker.say(constants.CAN_DO, JOB)
        await worker.grab()
        await worker.say(constants.WORK_STATUS, handle, b"3", b"4")
        await client.hears(constants.WORK_STATUS)
        await client.say(constants.GET_STATUS, handle)
        assert (await client.hears(constants.STATUS_RES)).body.split(b"\0")[1:] == [b"1", b"1", b"3", b"4"]
        await client.say(GET_STATUS_UNIQUE, b"u")
        assert (await client.hears(STATUS_RES_UNIQUE)).body.split(b"\0")[:3] == [b"u", b"1", b"1"]
        await client.say(GET_STATUS_UNIQUE, b"nobody's")
        assert (await client.hears(STATUS_RES_UNIQUE)).body.split(b"\0")[1] == b"0"


async def test_workers_that_ask_in_the_old_way_are_served(server):
    """GRAB_JOB without the unique id, and abilities with a time limit."""
    async with peers(server, 2) as (client, worker):
        handle = await client.submit(b"u", b"data")
        await worker.say(constants.CAN_DO_TIMEOUT, JOB, b"5")
        await worker.say(constants.GRAB_JOB)
        assert (await worker.hears(constants.JOB_ASSIGN)).arguments(3) == [handle, JOB, b"data"]


async def test_what_is_unknown_is_answered_and_the_connection_goes_on(server):
    async with peers(server, 1) as (peer,):
        await peer.say(77, b"?")
        assert (await peer.hears(constants.ERROR)).body.startswith(b"UNKNOWN_COMMAND\0")
        await peer.nothing_more()


async def test_handles_differ_from_those_of_the_server_before(server):
    async with peers(server, 1) as (client,):
        before = await client.submit(b"1")
    again = JobServer(HOST, 0)
    try:
        async with peers(again, 1) as (client,):
            after = await client.submit(b"1")
    finally:
        await asyncio.to_thread(again.shutdown)
    assert int(after.rpartition(b":")[2]) > int(before.rpartition(b":")[2])


async def test_a_storm_of_connections_finds_room(server):
    """While nobody accepts: the system keeps as many as were asked for (section 9: at least 1024)."""
    assert BACKLOG >= 1024
    async with asyncio.timeout(DEADLINE_S):
        storm = await asyncio.gather(*(asyncio.open_connection(HOST, server.port) for _ in range(600)))
    await when(lambda: len(server.active_connections) == 600, "all to be accepted")
    for _, writer in storm:
        writer.transport.abort()
    await when(lambda: not server.active_connections, "all to be gone")


async def test_a_client_that_does_not_read_is_dropped_and_others_are_served(server, monkeypatch):
    monkeypatch.setattr("ci_gate.gearman.job_server.MAX_UNREAD_PACKETS", 50)
    async with peers(server, 2) as (client, worker):
        deaf = socket.create_connection((HOST, server.port))
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.sendall(b"\0REQ" + (7).to_bytes(4) + len(JOB + b"\0u\0").to_bytes(4) + JOB + b"\0u\0")
        await when(lambda: server.jobs, "its job")
        await worker.say(constants.CAN_DO, JOB)
        handle = (await worker.grab())[0]
        for _ in range(400):
            await worker.say(constants.WORK_DATA, handle, b"x" * 60_000)
        await worker.nothing_more()
        await when(lambda: len(server.active_connections) == 2, "it to be dropped")
        await client.submit(b"v")
        deaf.close()
