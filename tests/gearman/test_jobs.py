"""Jobs that are run and waited for, with each of the three job servers that sites have: for merges on other hosts."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
from gear import constants
from gearman_parts import HOST, when

from ci_gate.daemon.remote_mergers import JobsOverGearman
from ci_gate.gearman.job_runner import MOST_TRIES, JobError, JobRunner
from ci_gate.gearman.job_worker import JobWorker
from ci_gate.gearman.packets import PacketStream
from ci_gate.job_servers import Address
from ci_gate.merger.remote import RemoteMerger
from ci_gate.model.build import Precedence
from ci_gate.model.merge import MergeMode, MergeOutcome, MergeRequest

NORMAL = Precedence.NORMAL


@pytest.fixture
async def runner(server):
    made = JobRunner([Address(HOST, server.port)], reconnect_s=0.05, silence_s=0.6)
    await made.start()
    yield made
    await made.stop()


@asynccontextmanager
async def working(server, handler, *, lanes: int = 1, function: str = "shout"):
    """A worker that is connected; killed at the end, like its host."""
    worker = JobWorker([Address(HOST, server.port)], {function: handler}, lanes=lanes, name="test")
    task = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def shout(data: bytes) -> bytes:
    return data.upper()


class Patient:
    """Begins jobs and ends them when it is told to."""

    def __init__(self) -> None:
        self.begun = 0
        self.may_end = asyncio.Event()

    async def __call__(self, data: bytes) -> bytes:
        self.begun += 1
        await self.may_end.wait()
        return data.upper()


async def test_a_job_is_done_and_its_result_comes_back(server, runner):
    async with working(server, shout):
        assert await runner.run("shout", b"so \0 it\n is", NORMAL) == b"SO \0 IT\n IS"


async def test_a_job_waits_until_there_is_a_worker(server, runner):
    waiting = asyncio.create_task(runner.run("shout", b"x", NORMAL))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    async with working(server, shout):
        assert await waiting == b"X"


async def test_lanes_work_side_by_side(server, runner):
    patient = Patient()
    async with working(server, patient, lanes=3):
        jobs = [asyncio.create_task(runner.run("shout", b"%d" % number, NORMAL)) for number in range(4)]
        await when(lambda: patient.begun == 3, "three jobs at once")
        patient.may_end.set()
        assert sorted(await asyncio.gather(*jobs)) == [b"0", b"1", b"2", b"3"]


async def test_the_job_of_a_worker_that_dies_is_done_by_another(server, runner):
    patient = Patient()
    async with working(server, patient):
        job = asyncio.create_task(runner.run("shout", b"x", NORMAL))
        await when(lambda: patient.begun, "the job has begun")
    assert not job.done()
    async with working(server, shout):
        assert await job == b"X"


async def test_a_job_that_fails_everywhere_fails_after_some_tries(server, runner):
    tries = 0

    async def fail(_: bytes) -> bytes:
        nonlocal tries
        tries += 1
        raise ValueError("no")

    async with working(server, fail):
        with pytest.raises(JobError, match=f"shout failed {MOST_TRIES} times"):
            await runner.run("shout", b"x", NORMAL)
    assert tries == MOST_TRIES


async def test_a_merge_that_fails_is_asked_for_again_by_the_scheduler_alone(server, runner, tmp_path):
    """Four requests in all are the scheduler's (scheduler.md 8)."""
    asked = []

    async def fail(data: bytes) -> bytes:
        asked.append(data)
        raise OSError("disk full")

    merger = RemoteMerger(JobsOverGearman(runner), tmp_path, lambda _, project: f"ssh://gerrit/{project}")
    request = MergeRequest("Z1", "gerrit", "demo", "master", "refs/changes/07/7/1", "7", "1", MergeMode.MERGE)
    async with working(server, fail, function="merger:merge"):
        answer = await merger.merge(request)
    assert (answer.outcome, len(asked)) == (MergeOutcome.INTERNAL, 1)
    assert answer.detail == "merger:merge failed: its worker was lost, or failed"


async def test_a_job_outlives_its_server(server, runner):
    patient = Patient()
    async with working(server, patient):
        job = asyncio.create_task(runner.run("shout", b"x", NORMAL))
        await when(lambda: patient.begun, "the job has begun")
        await server.stop()
        patient.may_end.set()
        await server.start()
        assert await job == b"X"


async def test_a_worker_that_falls_silent_counts_as_dead(server, runner):
    """Its host is frozen: the connection stays, and nothing comes over it any more."""
    frozen = await PacketStream.connect(Address(HOST, server.port))
    await frozen.send(constants.CAN_DO, b"shout")
    job = asyncio.create_task(runner.run("shout", b"x", NORMAL))
    handle = None
    while handle is None:
        await frozen.send(constants.GRAB_JOB_UNIQ)
        packet = await frozen.receive()
        handle = packet.arguments(4)[0] if packet.kind == constants.JOB_ASSIGN_UNIQ else None
    await frozen.send(constants.WORK_STATUS, handle, b"0", b"0")
    async with working(server, shout):
        assert await job == b"X"
    frozen.close()


async def test_a_worker_that_stops_finishes_its_job_and_takes_no_other(server, runner):
    patient = Patient()
    async with working(server, patient) as worker:
        first = asyncio.create_task(runner.run("shout", b"x", NORMAL))
        await when(lambda: patient.begun, "the job has begun")
        second = asyncio.create_task(runner.run("shout", b"y", NORMAL))
        worker.stop()
        patient.may_end.set()
        assert await first == b"X"
    assert not second.done()
    second.cancel()


async def test_who_does_not_wait_any_more_leaves_nothing_behind(server, runner):
    patient = Patient()
    async with working(server, patient):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await runner.run("shout", b"x", NORMAL)
        patient.may_end.set()
        assert await runner.run("shout", b"y", NORMAL) == b"Y"
