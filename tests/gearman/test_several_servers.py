"""Several job servers: builds go to one that is there, workers are at all (ci-conf.md 6, gearman-jenkins.md 9)."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager

import pytest
from gearman_parts import HOST, SERVERS, Bench, Embedded, when

from ci_gate.gearman.job_runner import JobRunner
from ci_gate.gearman.job_worker import JobWorker
from ci_gate.job_servers import Address
from ci_gate.model.build import Precedence
from ci_gate.sandbox.ports import free_port
from ci_gate.worker_connection import GearmanWorker, Job


@pytest.fixture(params=SERVERS)
async def pair(request):
    servers = request.param(), request.param()
    for each in servers:
        await each.start()
    yield servers
    for each in servers:
        await each.stop()


def addresses(*servers) -> list[Address]:
    return [Address(HOST, each.port) for each in servers]


def bench(first, second, folder, **options) -> Bench:
    return Bench(first.port, folder, others=((HOST, second.port),), **options)


@asynccontextmanager
async def working(servers, *functions, on_job, **options):
    worker = GearmanWorker(servers, "worker", on_job=on_job, reconnect_s=0.05, **options)
    worker.offer(functions)
    task = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def succeed(job: Job) -> None:
    job.data({"name": "unit", "number": 7, "manager": "m"})
    job.complete({"name": "unit", "number": 7, "manager": "m", "result": "SUCCESS"})


async def test_builds_go_to_the_first_and_after_its_end_to_the_next(pair, tmp_path):
    first, second = pair
    async with working(addresses(*pair), "build:unit", on_job=succeed), bench(first, second, tmp_path) as gate:
        gate.launch()
        await gate.end()
        assert gate.launcher.state.server == f"{HOST}:{first.port}"
        await first.stop()
        gate.launch()
        assert (await gate.end(2)).result == "SUCCESS"
        assert gate.launcher.state.server == f"{HOST}:{second.port}"
        await first.start()
        await second.stop()
        gate.launch()
        assert (await gate.end(3)).result == "SUCCESS"
        assert gate.launcher.state.server == f"{HOST}:{first.port}"


async def test_a_first_server_that_was_never_there_costs_nothing(pair, tmp_path):
    _, second = pair
    gone = Embedded()
    async with working(addresses(second), "build:unit", on_job=succeed), bench(gone, second, tmp_path) as gate:
        gate.launch()
        assert (await gate.end()).result == "SUCCESS"


async def test_what_waited_on_a_dead_server_waits_on_the_next_under_the_same_id(pair, tmp_path):
    first, second = pair
    async with bench(first, second, tmp_path, check_job_registration=False) as gate:
        launched = {gate.launch() for _ in range(50)}
        await when(lambda: gate.launcher.state.counts.queued == 50, "all to wait")
        await first.stop()
        await when(lambda: gate.launcher.state.server.endswith(str(second.port)), "the next server")
        taken: list[str] = []
        async with working(
            addresses(second), "build:unit", on_job=lambda job: (taken.append(job.unique), succeed(job))
        ):
            await gate.end(50)
        assert Counter(each.uuid for each in gate.ends) == Counter(launched)
        assert {each.result for each in gate.ends} == {"SUCCESS"}
        assert set(taken) == launched


async def test_what_ran_on_a_dead_server_is_stopped_through_the_next_and_ends_uncounted(pair, tmp_path):
    first, second = pair
    jobs: list[Job] = []
    stops: list[Job] = []
    there = addresses(*pair)
    async with (
        working(there, "build:unit", on_job=jobs.append),
        working(there, "stop:m", on_job=stops.append),
        bench(first, second, tmp_path) as gate,
    ):
        unique = gate.launch()
        await when(lambda: jobs, "the build")
        jobs[0].data({"name": "unit", "number": 7, "manager": "m"})
        await when(lambda: gate.updates, "its start")
        await first.stop()
        end = await gate.end()
        assert (end.uuid, end.result, end.counted) == (unique, None, False)
        await when(lambda: stops, "the stop")
        assert not jobs[0].complete({"result": "SUCCESS"}), "its connection is gone"


async def test_a_worker_of_two_servers_never_holds_more_than_it_wants(pair, tmp_path):
    """Both have work for it; it takes one job at a time all the same, now from the one, now from the other."""
    held: list[Job] = []
    most = 0
    taken = Counter()

    def take(job: Job) -> None:
        nonlocal most
        held.append(job)
        most = max(most, len(held))
        taken[job.unique] += 1
        asyncio.get_running_loop().call_later(0.002, done, job)

    def done(job: Job) -> None:
        held.remove(job)
        job.complete({"result": "SUCCESS"})
        worker.look()

    async with (
        Bench(pair[0].port, tmp_path / "a", check_job_registration=False) as one,
        Bench(pair[1].port, tmp_path / "b", check_job_registration=False) as other,
    ):
        for each in (one, other) * 30:
            each.launch()
        await when(lambda: one.launcher.state.counts.queued + other.launcher.state.counts.queued == 60, "all to wait")
        async with working(addresses(*pair), "build:unit", on_job=take, wants=lambda: not held) as worker:
            await one.end(30)
            await other.end(30)
    assert most == 1
    assert set(taken.values()) == {1}


async def test_merges_go_on_with_the_next_server(pair):
    async def shout(data: bytes) -> bytes:
        return data.upper()

    runner = JobRunner(addresses(*pair), reconnect_s=0.05)
    worker = JobWorker(addresses(*pair), {"shout": shout}, lanes=1, name="test")
    await runner.start()
    task = asyncio.create_task(worker.run())
    try:
        assert await runner.run("shout", b"a", Precedence.NORMAL) == b"A"
        await pair[0].stop()
        assert await runner.run("shout", b"b", Precedence.NORMAL) == b"B"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await runner.stop()


async def test_all_that_cannot_be_reached_are_named(tmp_path):
    ports = free_port(), free_port()
    async with Bench(ports[0], tmp_path, others=((HOST, ports[1]),)) as gate:
        await when(lambda: all(str(each) in gate.launcher.state.detail for each in ports), "both to be named")
        assert not gate.launcher.state.connected
