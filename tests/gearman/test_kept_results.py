"""What the built-in server keeps for who was not there: results of builds, and jobs of workers that come back."""

from __future__ import annotations

import asyncio
import json

import pytest
from gearman_parts import HOST, Bench, Worker, data, when

from ci_gate.gearman import kept
from ci_gate.gearman.job_server import JobServer
from ci_gate.gearman.kept import KeptResults
from ci_gate.gearman.waiting import ServerJob
from ci_gate.job_servers import Address
from ci_gate.sandbox.ports import free_port
from ci_gate.worker_connection import GearmanWorker


@pytest.fixture
async def port():
    server = JobServer(HOST, free_port())
    yield server.port
    await asyncio.to_thread(server.shutdown)


async def test_a_result_that_was_sent_while_the_service_was_down_is_told_to_the_next(port, tmp_path):
    worker = Worker(port, "build:unit")
    try:
        async with Bench(port, tmp_path) as before:
            unique = before.launch()
            job = await worker.job()
            job.sendWorkData(data())
            await when(lambda: before.updates, "started")
        job.sendWorkComplete(data(result="SUCCESS"))
        async with Bench(port, tmp_path) as after:
            after.launch(uuid=unique)
            end = await after.end()
        assert (end.uuid, end.result, end.last.number) == (unique, "SUCCESS", 7)
        assert len(worker.jobs) == 1
    finally:
        worker.stop()


async def test_a_build_that_runs_is_attached_to_and_can_be_cancelled_by_the_next_service(port, tmp_path):
    worker, manager = Worker(port, "build:unit"), Worker(port, "stop:jenkins")
    try:
        async with Bench(port, tmp_path) as before:
            unique = before.launch()
            job = await worker.job()
            job.sendWorkData(data())
            await when(lambda: before.updates, "started")
        async with Bench(port, tmp_path) as after:
            after.launch(uuid=unique)
            after.launcher.cancel(unique)
            stop = await manager.job()
        assert json.loads(stop.arguments) == {"name": "unit", "number": 7}
        assert len(worker.jobs) == 1
    finally:
        worker.stop()
        manager.stop()


async def test_a_job_of_a_worker_that_comes_back_waits_for_it_under_its_handle(port, tmp_path):
    jobs = []
    bench = Bench(port, tmp_path)
    async with bench:
        first = GearmanWorker([Address(HOST, port)], "bridge", on_job=jobs.append, resumes=True)
        first.offer(["build:unit"])
        task = asyncio.create_task(first.run())
        unique = bench.launch()
        await when(lambda: jobs, "job")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        second = GearmanWorker([Address(HOST, port)], "bridge", on_job=jobs.append, resumes=True)
        second.offer(["build:unit"])
        task = asyncio.create_task(second.run())
        await when(lambda: len(jobs) == 2, "the same job")
        assert (jobs[1].handle, jobs[1].unique) == (jobs[0].handle, unique)
        assert not jobs[0].complete({"result": "SUCCESS"}), "its connection is gone"
        assert jobs[1].complete({"result": "FAILURE"})
        assert (await bench.end()).result == "FAILURE"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_results_are_kept_for_an_hour_and_only_of_builds(monkeypatch):
    monkeypatch.setattr(kept, "MOST", 2)
    now = 0.0
    results = KeptResults(lambda: now)

    class End:
        data = b"H\x00{}"

    for name, unique in ((b"build:a", b"1"), (b"merger:merge", b"2"), (b"build:a", b"3")):
        results.keep(ServerJob(b"H", name, unique, b"", 0, 1), End())
    assert (results.knows(b"1"), results.knows(b"2"), results.knows(b"3")) == (True, False, True)
    results.keep(ServerJob(b"H", b"build:a", b"4", b"", 0, 1), End())
    assert not results.knows(b"1"), "the oldest goes when there are too many"
    now = kept.KEEP_S + 1
    assert not results.knows(b"4")
