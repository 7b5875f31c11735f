"""``set_description:MANAGER``: sent once a build has a number, where it is offered (gearman-jenkins.md 5, 6.5)."""

from __future__ import annotations

import asyncio
import json

from gearman_parts import Bench, Worker, data, when

from ci_gate.sandbox.jenkins import Jenkins, Node

TEXT = '<a href="https://review/7">7,2</a>'


async def test_the_plugins_simulator_shows_what_a_build_is_about(server, tmp_path):
    jenkins = Jenkins(server.port, nodes=[Node("node-1", 2)])
    jenkins.add_job("unit", lambda _parameters, _folder: "SUCCESS", fetch=False)
    jenkins.hold("unit")
    await jenkins.start()
    await jenkins.ready()
    async with Bench(server.port, tmp_path) as bench:
        bench.launch(description=TEXT)
        build = await jenkins.running("unit")
        await when(lambda: build.description == TEXT, "the description")
        jenkins.release("unit")
        assert (await bench.end()).result == "SUCCESS"
    await jenkins.stop()


async def test_it_is_sent_once_a_number(server, tmp_path):
    worker = await asyncio.to_thread(Worker, server.port, "build:unit")
    manager = await asyncio.to_thread(Worker, server.port, "set_description:jenkins")
    async with Bench(server.port, tmp_path) as bench:
        await when(lambda: bench.launcher._knows("set_description:jenkins"), "the list of functions")
        bench.launch(description=TEXT)
        job = await worker.job()
        job.sendWorkData(data())
        job.sendWorkData(data(url="http://j/other/"))
        job.sendWorkData(data(number=8))
        (await manager.job()).sendWorkComplete(b"")
        (await manager.job(2)).sendWorkComplete(b"")
        job.sendWorkComplete(data(number=8, result="SUCCESS"))
        await bench.end()
        bench.launch(description=TEXT)
        (await worker.job(2)).sendWorkData(data(number=9))
        await manager.job(3)
    asked = [json.loads(each.arguments) for each in manager.jobs]
    assert asked == [{"name": "unit", "number": number, "html_description": TEXT} for number in (7, 8, 9)]
    await asyncio.to_thread(worker.stop)
    await asyncio.to_thread(manager.stop)


async def test_a_manager_that_does_not_offer_it_is_not_asked_and_costs_nothing(server, tmp_path):
    worker = await asyncio.to_thread(Worker, server.port, "build:unit")
    async with Bench(server.port, tmp_path) as bench:
        bench.launch(description=TEXT)
        job = await worker.job()
        job.sendWorkData(data())
        await when(lambda: bench.updates, "its start")
        assert not bench.launcher._builds._manager_jobs._jobs
        job.sendWorkComplete(data(result="SUCCESS"))
        assert (await bench.end()).result == "SUCCESS"
    await asyncio.to_thread(worker.stop)
