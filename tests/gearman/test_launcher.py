"""Builds over Gearman, with each of the three job servers that sites have (gearman-jenkins.md 3-5)."""

from __future__ import annotations

import asyncio
import json

import pytest
from gearman_parts import GEARMANDS, QUICK, Bench, Embedded, Worker, data, request_for, when

from ci_gate.model.build import Precedence

ATTACHING = [Embedded, GEARMANDS]


async def test_a_build_reaches_the_worker_as_the_protocol_says(server, worker, tmp_path):
    async with Bench(server.port, tmp_path) as bench:
        unique = bench.launch(parameters={"ZUUL_PROJECT": "demo/äpp", "EMPTY": "", "NOTHING": None})
        job = await worker.job()
        assert job.name == "build:unit"
        assert worker.uniques() == [unique]
        assert json.loads(job.arguments) == {"ZUUL_PROJECT": "demo/äpp", "EMPTY": "", "NOTHING": None}


async def test_a_node_makes_another_function(server, worker, tmp_path):
    async with Bench(server.port, tmp_path) as bench:
        bench.launch(node="big")
        assert (await worker.job()).name == "build:unit:big"


async def test_what_the_worker_says_is_told_and_a_result_ends_the_build(server, worker, tmp_path):
    async with Bench(server.port, tmp_path) as bench:
        unique = bench.launch()
        job = await worker.job()
        job.sendWorkData(data(worker="node-1_exec-0"))
        job.sendWorkStatus(0, 42000)
        await when(lambda: [each for each in bench.updates if each.estimate_s], "the estimate")
        started = next(each for each in bench.updates if each.started)
        assert (started.uuid, started.number, started.url) == (unique, 7, "http://j/7/")
        assert started.worker.name == "node-1_exec-0"
        assert bench.updates[-1].estimate_s == 42.0
        job.sendWorkComplete(data(result="FAILURE", node_name="node-1", node_labels=["a", "b"]))
        end = await bench.end()
        assert (end.uuid, end.result, end.last.node_labels) == (unique, "FAILURE", ("a", "b"))


async def test_data_without_a_number_does_not_start_a_build(server, worker, tmp_path):
    async with Bench(server.port, tmp_path) as bench:
        bench.launch()
        job = await worker.job()
        job.sendWorkData(b'{"url": "http://queue/"}')
        await when(lambda: bench.updates, "an update")
        assert not bench.updates[-1].started


@pytest.mark.parametrize("how", ["complete", "fail", "exception"])
async def test_an_end_without_a_result_is_a_lost_build(server, worker, tmp_path, how):
    async with Bench(server.port, tmp_path) as bench:
        await when(lambda: "connected" in bench.launcher.state.detail, "the connection")
        bench.launch()
        job = await worker.job()
        match how:
            case "complete":
                job.sendWorkComplete(data())
            case "fail":
                job.sendWorkFail()
            case "exception":
                job.sendWorkException(b"java.lang.Oops")
        end = await bench.end()
        assert end.result is None
        assert end.counted


async def test_garbage_from_a_worker_harms_only_its_build(server, worker, tmp_path):
    async with Bench(server.port, tmp_path) as bench:
        bench.launch()
        (await worker.job()).sendWorkComplete(b"{garbage")
        end = await bench.end()
        assert end.result is None or end.result == "EXCEPTION"
        bench.launch()
        (await worker.job(2)).sendWorkComplete(data(result="SUCCESS"))
        assert (await bench.end(2)).result == "SUCCESS"


async def test_a_queued_build_is_taken_out_of_the_queue(server, tmp_path):
    async with Bench(server.port, tmp_path, check_job_registration=False) as bench:
        unwanted = bench.launch()
        await when(lambda: bench.launcher.state.counts.queued, "the server to have it")
        bench.launcher.cancel(unwanted)
        await when(lambda: not bench.launcher.state.counts.queued, "the server to forget it")
        wanted = bench.launch()
        late = await asyncio.to_thread(Worker, server.port, "build:unit")
        await late.job()
        assert late.uniques() == [wanted]
        await asyncio.to_thread(late.stop)


async def test_a_running_build_is_stopped_by_its_manager(server, worker, tmp_path):
    async with Bench(server.port, tmp_path) as bench:
        unique = bench.launch()
        job = await worker.job()
        job.sendWorkData(data())
        await when(lambda: bench.updates, "the start")
        bench.launcher.cancel(unique)
        stop = await worker.job(2)
        assert stop.name == "stop:jenkins"
        assert json.loads(stop.arguments) == {"name": "unit", "number": 7}
        stop.sendWorkComplete(b"")
        job.sendWorkComplete(data(result="ABORTED"))
        bench.launch()
        (await worker.job(3)).sendWorkComplete(data(result="SUCCESS"))
        await bench.end()
        assert [each.uuid for each in bench.ends] != [unique], "a cancelled build is not heard of again"


async def test_a_manager_of_others_is_asked_to_stop_a_build_by_its_number_alone(server, worker, tmp_path):
    """Before there is one it is ``cancel job`` that is tried (gearman-jenkins.md 5)."""
    async with Bench(server.port, tmp_path) as bench:
        unique = bench.launch()
        job = await worker.job()
        job.sendWorkData(json.dumps({"name": "unit", "manager": "jenkins"}).encode())
        await when(lambda: bench.updates, "that a worker has it")
        bench.launcher.cancel(unique)
        asked = bench.launcher._builds._manager_jobs._jobs
        assert not asked
        job.sendWorkData(json.dumps({"name": "unit", "manager": "jenkins", "node_name": "n1"}).encode())
        await asyncio.sleep(2 * QUICK.cancel_confirm)  # a confirmed cancel would be final by now
        job.sendWorkData(data())
        stop = await worker.job(2)
        assert (stop.name, json.loads(stop.arguments)) == ("stop:jenkins", {"name": "unit", "number": 7})
        stop.sendWorkComplete(b"")
        job.sendWorkComplete(data(result="ABORTED"))
        await when(lambda: not asked, "the manager's answer")
        assert bench.ends == []


async def test_a_manager_that_knows_builds_by_their_uuid_is_told_it(server, worker, tmp_path):
    async with Bench(server.port, tmp_path) as bench:
        unique = bench.launch()
        (await worker.job()).sendWorkData(json.dumps({"manager": "jenkins", "uuid": unique}).encode())
        await when(lambda: bench.updates, "that a worker has it")
        bench.launcher.cancel(unique)
        stop = await worker.job(2)
        assert json.loads(stop.arguments) == {"name": "unit", "uuid": unique}
        stop.sendWorkComplete(b"")


async def test_a_function_that_nobody_has_registered_ends_the_build(server, worker, tmp_path):
    async with Bench(server.port, tmp_path) as bench:
        unique = bench.launch("unknown")
        end = await bench.end()
        assert (end.uuid, end.result) == (unique, "NOT_REGISTERED")
        assert "build:unknown" in end.reason


async def test_without_the_check_a_build_waits_for_its_worker(server, tmp_path):
    async with Bench(server.port, tmp_path, check_job_registration=False) as bench:
        bench.launch("later")
        await when(lambda: bench.launcher.state.counts.queued, "the server to have it")
        late = await asyncio.to_thread(Worker, server.port, "build:later")
        (await late.job()).sendWorkComplete(data(result="SUCCESS"))
        assert (await bench.end()).result == "SUCCESS"
        await asyncio.to_thread(late.stop)


async def test_high_goes_before_low(server, tmp_path):
    async with Bench(server.port, tmp_path, check_job_registration=False) as bench:
        low = bench.launch(precedence=Precedence.LOW)
        high = bench.launch(precedence=Precedence.HIGH)
        await when(lambda: bench.launcher.state.counts.queued == 2, "the server to have both")
        late = await asyncio.to_thread(Worker, server.port, "build:unit")
        await late.job(2)
        assert late.uniques() == [high, low]
        await asyncio.to_thread(late.stop)


async def test_builds_wait_for_a_server_that_is_down(server, worker, tmp_path):
    await asyncio.to_thread(worker.stop)
    await server.stop()
    async with Bench(server.port, tmp_path) as bench:
        bench.launch()
        await when(lambda: not bench.launcher.state.connected, "the launcher to notice")
        assert bench.ends == []
        await server.start()
        again = await asyncio.to_thread(Worker, server.port, "build:unit")
        (await again.job()).sendWorkComplete(data(result="SUCCESS"))
        assert (await bench.end()).result == "SUCCESS"
        await asyncio.to_thread(again.stop)


async def test_builds_wait_for_leave_to_be_sent(server, worker, tmp_path):
    async with Bench(server.port, tmp_path) as bench:
        await when(lambda: "connected to" in bench.launcher.state.detail, "the server's name")
        bench.may_send = False
        held = [bench.launch() for _ in range(3)]
        async with Bench(server.port, tmp_path) as other:
            sent = other.launch()
            await worker.job()
        bench.may_send = True
        bench.launcher.go_on()
        await worker.job(4)
        assert worker.uniques() == [sent, *held]


async def test_a_restarted_server_costs_no_build_and_no_try(server, tmp_path):
    async with Bench(server.port, tmp_path, check_job_registration=False) as bench:
        unique = bench.launch()
        await when(lambda: bench.launcher.state.counts.queued, "the server to have it")
        await server.stop()
        await server.start()
        again = await asyncio.to_thread(Worker, server.port, "build:unit")

        def settled():
            return again.jobs or [each for each in bench.ends if each.uuid == unique]

        await when(settled, "the build, or that it was lost")
        if again.jobs:
            assert again.uniques() == [unique]
        else:
            assert bench.ends[0].result is None
            assert not bench.ends[0].counted
        await asyncio.to_thread(again.stop)


@pytest.mark.parametrize("make", ATTACHING)
async def test_the_same_build_launched_twice_runs_once(make, tmp_path):
    server = make()
    await server.start()
    worker = await asyncio.to_thread(Worker, server.port, "build:unit")
    request = request_for()
    async with Bench(server.port, tmp_path / "a") as first, Bench(server.port, tmp_path / "b") as second:
        first.launcher.launch(request)
        job = await worker.job()
        second.launcher.launch(request)
        await when(lambda: second.launcher.state.counts.queued, "the second to be attached")
        job.sendWorkComplete(data(result="SUCCESS"))
        assert (await first.end()).result == "SUCCESS"
        assert (await second.end()).result == "SUCCESS"
    assert len(worker.jobs) == 1
    await asyncio.to_thread(worker.stop)
    await server.stop()


async def test_five_hundred_builds_at_once_all_come_back(server, worker, tmp_path):
    async with Bench(server.port, tmp_path) as bench:
        launched = {bench.launch() for _ in range(500)}
        answered = 0
        while answered < 500:
            job = await worker.job(answered + 1)
            job.sendWorkComplete(data(result="SUCCESS"))
            answered += 1
        await bench.end(500)
        assert {each.uuid for each in bench.ends} == launched


async def test_nagle_is_off_on_our_end(server, worker, tmp_path):
    import socket as sockets  # noqa: PLC0415  # only here

    async with Bench(server.port, tmp_path, QUICK) as bench:
        await when(lambda: bench.launcher.state.connected, "the connection")
        (connection,) = bench.launcher._client._gear.active_connections
        assert connection.conn.getsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY)


async def test_a_fault_of_its_own_does_not_end_the_launching(server, worker, tmp_path, monkeypatch):
    async with Bench(server.port, tmp_path) as bench:
        await when(lambda: bench.launcher.state.connected, "the connection")

        def fail() -> list[bytes]:
            monkeypatch.undo()
            raise RuntimeError("on purpose")

        monkeypatch.setattr(bench.launcher._builds, "silent", fail)
        await when(lambda: bench.launcher._builds.silent != fail, "the fault")
        await when(lambda: bench.launcher.state.connected, "the connection after it")
        bench.launch()
        (await worker.job()).sendWorkComplete(data(result="SUCCESS"))
        assert (await bench.end()).result == "SUCCESS"
