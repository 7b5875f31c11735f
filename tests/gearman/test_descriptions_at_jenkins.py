"""``set_description:MANAGER``, where it is offered (gearman-jenkins.md 5, 6.5)."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest
from gearman_parts import QUICK, Bench, Worker, data, when

from ci_gate.model.build import NumberedBuild
from ci_gate.sandbox.jenkins import Jenkins, Node

TEXT = '<a href="https://review/7">7,2</a>'
OFFERED = "set_description:jenkins"


async def test_the_plugins_simulator_shows_what_a_build_came_to(server, tmp_path):
    jenkins = Jenkins(server.port, nodes=[Node("node-1", 2)])
    jenkins.add_job("unit", lambda _parameters, _folder: "SUCCESS", fetch=False)
    jenkins.hold("unit")
    await jenkins.start()
    await jenkins.ready()
    async with Bench(server.port, tmp_path) as bench:
        bench.launch()
        build = await jenkins.running("unit")
        jenkins.release("unit")
        assert (await bench.end()).result == "SUCCESS"
        assert build.description is None
        offered = f"set_description:{jenkins.name}"
        await when(lambda: bench.launcher._functions.knows(offered), "the list of functions")
        bench.launcher.describe([NumberedBuild("unit", jenkins.name, build.number)], TEXT)
        await when(lambda: build.description == TEXT, "the description")
    await jenkins.stop()


@pytest.mark.parametrize("checks", [True, False], ids=["checks registration", "does not"])
async def test_each_build_is_described_once(server, tmp_path, checks):
    manager = await asyncio.to_thread(Worker, server.port, OFFERED)
    async with Bench(server.port, tmp_path, check_job_registration=checks) as bench:
        await when(lambda: bench.launcher._functions.knows(OFFERED), "the list of functions")
        bench.launcher.describe([NumberedBuild("unit", "jenkins", 7), NumberedBuild("lint", "jenkins", 3)], TEXT)
        bench.launcher.describe([NumberedBuild("unit", "jenkins", 8)], TEXT)
        for count in (1, 2, 3):
            (await manager.job(count)).sendWorkComplete(b"")
        await when(lambda: not bench.launcher._builds._manager_jobs._jobs, "the manager's answers")
    asked = [json.loads(each.arguments) for each in manager.jobs]
    expected = [("unit", 7), ("lint", 3), ("unit", 8)]
    assert asked == [{"name": name, "number": number, "html_description": TEXT} for name, number in expected]
    await asyncio.to_thread(manager.stop)


@pytest.mark.parametrize("checks", [True, False], ids=["checks registration", "does not"])
async def test_a_manager_that_does_not_offer_it_is_not_asked(server, tmp_path, checks):
    worker = await asyncio.to_thread(Worker, server.port, "build:unit")
    async with Bench(server.port, tmp_path, check_job_registration=checks) as bench:
        await when(lambda: bench.launcher._functions.knows("build:unit"), "the list of functions")
        bench.launcher.describe([NumberedBuild("unit", "jenkins", 7)], TEXT)
        assert not bench.launcher._builds._manager_jobs._jobs
        bench.launch()
        (await worker.job()).sendWorkComplete(data(result="SUCCESS"))
        assert (await bench.end()).result == "SUCCESS"
    await asyncio.to_thread(worker.stop)


async def test_a_manager_that_came_after_the_list_was_read_is_found(server, tmp_path):
    times = replace(QUICK, list_reread=3600.0)
    worker = await asyncio.to_thread(Worker, server.port, "build:unit")
    async with Bench(server.port, tmp_path, times) as bench:
        bench.launch("nothing")
        assert (await bench.end()).result == "NOT_REGISTERED"  # the list was read, and is not read again by itself
        manager = await asyncio.to_thread(Worker, server.port, OFFERED)
        bench.launcher.describe([NumberedBuild("unit", "jenkins", 7), NumberedBuild("unit", "other", 8)], TEXT)
        job = await manager.job()
        assert json.loads(job.arguments) == {"name": "unit", "number": 7, "html_description": TEXT}
        job.sendWorkComplete(b"")
        await when(lambda: not bench.launcher._builds._manager_jobs._jobs, "the manager's answer")
    for each in (worker, manager):
        await asyncio.to_thread(each.stop)


async def test_what_a_lost_connection_took_along_is_asked_again(server, tmp_path):
    await asyncio.to_thread((await asyncio.to_thread(Worker, server.port, OFFERED)).stop)  # it is known from now on
    async with Bench(server.port, tmp_path) as bench:
        await when(lambda: bench.launcher._functions.knows(OFFERED), "the list of functions")
        bench.launcher.describe([NumberedBuild("unit", "jenkins", 7)], TEXT)
        jobs = bench.launcher._builds._manager_jobs._jobs
        await when(lambda: all(each.handle for each in jobs.values()), "that the server has it")
        await bench.launcher._client.drop()
        manager = await asyncio.to_thread(Worker, server.port, OFFERED)
        job = await manager.job()
        assert json.loads(job.arguments)["html_description"] == TEXT
        job.sendWorkComplete(b"")
        await when(lambda: not jobs, "the manager's answer")
    await asyncio.to_thread(manager.stop)
