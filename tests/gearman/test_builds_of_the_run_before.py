"""Builds of a service that died: taken up again or stopped, whichever job server there is (gearman-jenkins.md 9)."""

from __future__ import annotations

import asyncio
import json

import pytest
from gearman_parts import GEARMANDS, QUICK, Bench, Embedded, Worker, data, request_for, when

from ci_gate.model.build import Begun

ATTACHING = [Embedded, GEARMANDS]
BEGUN = Begun("jenkins", 7)


@pytest.fixture
async def worker(server):
    made = await asyncio.to_thread(Worker, server.port, "build:unit")
    yield made
    await asyncio.to_thread(made.stop)


@pytest.fixture
async def manager(server):
    made = await asyncio.to_thread(Worker, server.port, "stop:jenkins")
    yield made
    await asyncio.to_thread(made.stop)


async def started(server, worker, folder) -> str:
    """Launched by a service that is gone by now; it runs as number 7."""
    async with Bench(server.port, folder) as before:
        unique = before.launch()
        (await worker.job()).sendWorkData(data())
        await when(lambda: before.updates, "its start")
    return unique


def stopped(job) -> dict:
    return json.loads(job.arguments)


async def test_a_cancelled_build_is_stopped_by_the_next_service(server, worker, manager, tmp_path):
    unique = await started(server, worker, tmp_path)
    async with Bench(server.port, tmp_path) as after:
        after.launcher.launch(request_for(uuid=unique), BEGUN)
        after.launcher.cancel(unique)
        assert stopped(await manager.job()) == {"name": "unit", "number": 7}
        assert after.ends == []
    assert len(worker.jobs) == 1, "it was not sent a second time"


async def test_a_cancel_that_comes_before_the_server_does_waits_for_it(server, tmp_path):
    await server.stop()
    async with Bench(server.port, tmp_path) as after:
        request = request_for()
        after.launcher.launch(request, BEGUN)
        after.launcher.cancel(request.uuid)
        await server.start()
        manager = await asyncio.to_thread(Worker, server.port, "stop:jenkins")
        assert stopped(await manager.job())["number"] == 7
        await asyncio.to_thread(manager.stop)


@pytest.mark.parametrize("make", ATTACHING)
async def test_a_build_that_runs_on_is_attached_to_and_can_be_cancelled_later(make, tmp_path):
    server = make()
    await server.start()
    worker = await asyncio.to_thread(Worker, server.port, "build:unit")
    manager = await asyncio.to_thread(Worker, server.port, "stop:jenkins")
    unique = await started(server, worker, tmp_path)
    async with Bench(server.port, tmp_path) as after:
        after.launcher.launch(request_for(uuid=unique), BEGUN)
        await when(lambda: after.launcher.state.counts.running, "the service to be attached")
        after.launcher.cancel(unique)
        assert stopped(await manager.job())["number"] == 7, "gearmand does not tell the number again"
    assert len(worker.jobs) == 1
    await asyncio.to_thread(worker.stop)
    await asyncio.to_thread(manager.stop)
    await server.stop()


async def test_a_build_that_its_server_does_not_know_is_stopped_and_launched_again_uncounted(
    server, worker, manager, tmp_path
):
    request = request_for()
    async with Bench(server.port, tmp_path) as after:
        after.launcher.launch(request, BEGUN)
        end = await after.end()
        assert (end.uuid, end.result, end.counted) == (request.uuid, None, False)
        assert stopped(await manager.job())["number"] == 7
    assert worker.jobs == [], "the same id never runs twice"


@pytest.mark.parametrize("make", ATTACHING)
async def test_a_cancelled_build_that_has_not_told_its_number_is_stopped_once_it_does(make, tmp_path):
    """gearmand says OK to the cancel of a job that runs, and tells that it failed; it goes on all the same."""
    server = make()
    await server.start()
    worker = await asyncio.to_thread(Worker, server.port, "build:unit")
    manager = await asyncio.to_thread(Worker, server.port, "stop:jenkins")
    async with Bench(server.port, tmp_path) as before:
        unique = before.launch()
        job = await worker.job()
    async with Bench(server.port, tmp_path) as after:
        after.launch(uuid=unique)
        after.launcher.cancel(unique)
        await when(lambda: after.launcher.state.counts.queued, "it to be attached to")
        await asyncio.sleep(2 * QUICK.cancel_confirm)  # after which a build that only waited counts as gone
        job.sendWorkData(data())
        assert stopped(await manager.job())["number"] == 7
    await asyncio.to_thread(worker.stop)
    await asyncio.to_thread(manager.stop)
    await server.stop()


@pytest.mark.parametrize("make", ATTACHING)
async def test_a_cancelled_build_that_still_waits_reaches_no_worker(make, tmp_path):
    server = make()
    await server.start()
    async with Bench(server.port, tmp_path / "a", check_job_registration=False) as before:
        unique = before.launch()
        await when(lambda: before.launcher.state.counts.queued, "it to wait")
        async with Bench(server.port, tmp_path / "b", check_job_registration=False) as after:
            after.launch(uuid=unique)
            after.launcher.cancel(unique)
            # The service before has not ended for its server yet: its host broke down.
            await when(lambda: not after.launcher._builds._builds, "the cancel")
            late = await asyncio.to_thread(Worker, server.port, "build:unit", "build:next")
            wanted = after.launch("next")
            await late.job()
            assert late.uniques() == [wanted]
            await asyncio.to_thread(late.stop)
    await server.stop()
