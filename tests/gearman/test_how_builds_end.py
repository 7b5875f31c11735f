"""Every way in which a build ends, on each job server (gearman-jenkins.md 4.1 and 9, row by row)."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest
from gear import constants
from gearman_parts import HOST, QUICK, Bench, Embedded, Gearmand, Worker, data, when

from ci_gate.gearman import client
from ci_gate.gearman.inquiry import registered_functions
from ci_gate.gearman.packets import PacketStream
from ci_gate.job_servers import Address
from ci_gate.sandbox.jenkins import Fault, Jenkins, Node

NOTHING = b"{}"


@pytest.fixture
async def bench(server, tmp_path):
    async with Bench(server.port, tmp_path) as made:
        await when(lambda: " to " in made.launcher.state.detail, "the server to be known")  # exceptions are asked for
        yield made


# What a worker sends last


@pytest.mark.parametrize("said", ["SUCCESS", "FAILURE", "UNSTABLE", "NOT_BUILT", "ABORTED", "TIMED_OUT", "DISK_FULL"])
async def test_a_result_is_taken_as_it_is(worker, bench, said):
    bench.launch()
    (await worker.job()).sendWorkComplete(data(result=said))
    end = await bench.end()
    assert (end.result, end.counted) == (said, True)


@pytest.mark.parametrize("how", ["complete", "fail", "exception"])
@pytest.mark.parametrize(("result", "expected"), [("FAILURE", "FAILURE"), (None, None), ("", None)])
async def test_the_kind_of_the_last_packet_does_not_matter_but_a_result_does(worker, bench, how, result, expected):
    bench.launch()
    job = await worker.job()
    job.sendWorkData(data(result=result))
    match how:
        case "complete":
            job.sendWorkComplete(b"")
        case "fail":
            job.sendWorkFail()
        case "exception":
            job.sendWorkException(b"java.lang.Oops")
    end = await bench.end()
    assert (end.result, end.counted) == (expected, True)
    if expected is None:
        assert end.reason, "people are told why it runs again"


async def test_what_came_last_counts_and_an_empty_end_leaves_what_was_said_before(worker, bench):
    bench.launch()
    job = await worker.job()
    job.sendWorkData(data(result="FAILURE"))
    job.sendWorkComplete(data(result="SUCCESS", url="http://j/8/"))
    end = await bench.end()
    assert (end.result, end.last.url) == ("SUCCESS", "http://j/8/")


async def test_only_the_most_recent_data_count_even_if_they_say_nothing(worker, bench):
    """Also of an end: its result is absent, and the build is to be launched again (gearman-jenkins.md 4)."""
    for silent_end in (True, False):
        bench.launch()
        job = await worker.job(2 - silent_end)
        job.sendWorkData(data(result="SUCCESS"))
        if silent_end:
            job.sendWorkComplete(b"{}")
        else:
            job.sendWorkData(b"{}")
            job.sendWorkFail()
        assert (await bench.end(2 - silent_end)).result is None


async def test_a_result_that_is_no_text_is_told_as_a_failure_of_the_worker(worker, bench):
    bench.launch()
    (await worker.job()).sendWorkComplete(data(result=["SUCCESS"]))
    end = await bench.end()
    assert end.result == "EXCEPTION"
    assert "['SUCCESS']" in end.reason


@pytest.mark.parametrize(("status", "estimate_s"), [((1, 42000), 42.0), ((0, -1), None), ((5, 0), None)])
async def test_an_estimate_is_the_denominator_of_a_status(worker, bench, status, estimate_s):
    bench.launch()
    job = await worker.job()
    job.sendWorkData(data())
    job.sendWorkStatus(*status)
    job.sendWorkComplete(data(result="SUCCESS"))
    await bench.end()
    assert [each.estimate_s for each in bench.updates if each.estimate_s is not None] == (
        [] if estimate_s is None else [estimate_s]
    )


# The plugin's simulator, and everything that can go wrong with it

ENDS = {
    Fault.NO_RESULT: [None],
    Fault.GARBAGE: ["EXCEPTION"],
    Fault.ARRAY: ["EXCEPTION"],
    Fault.GARBAGE_AT_START: ["EXCEPTION"],
    Fault.NO_NUMBER: ["SUCCESS"],
    Fault.STARTS_TWICE: ["SUCCESS"],
    Fault.ENDS_TWICE: ["SUCCESS"],
    Fault.EXCEPTION: [None],
    Fault.FAIL: [None],
    Fault.DIES: [None],
}


@pytest.mark.parametrize("fault", Fault)
async def test_whatever_goes_wrong_is_one_end_and_the_next_build_is_fine(server, bench, fault):
    jenkins = Jenkins(server.port, nodes=[Node("node-1"), Node("node-2")], reconnect_s=0.05)
    jenkins.add_job("unit", lambda _parameters, _folder: "SUCCESS", fetch=False)
    jenkins.misbehave("unit", fault)
    await jenkins.start()
    await jenkins.ready()
    first = bench.launch()
    await bench.end()
    bench.launch()
    await bench.end(2)
    await jenkins.ready()  # whatever a worker said late has been said
    again = fault is Fault.DIES and isinstance(server, Gearmand)  # that gives the job to the next worker by itself
    expected = ["SUCCESS"] if again else ENDS[fault]
    assert [each.result for each in bench.ends if each.uuid == first] == expected
    assert [each.result for each in bench.ends if each.uuid != first] == ["SUCCESS"]
    if expected == ["EXCEPTION"]:
        assert "{garbage" in bench.ends[0].reason or "[1, 2]" in bench.ends[0].reason, "the body is told"
    await jenkins.stop()


async def test_a_build_that_started_twice_is_stopped_by_its_second_number(worker, bench):
    unique = bench.launch()
    job = await worker.job()
    job.sendWorkData(data(number=7))
    job.sendWorkData(data(number=8, manager="jenkins"))
    await when(lambda: [each for each in bench.updates if each.number == 8], "the second number")
    bench.launcher.cancel(unique)
    assert json.loads((await worker.job(2)).arguments)["number"] == 8


async def test_two_controllers_with_the_same_job_share_the_builds_and_each_stops_its_own(server, bench):
    controllers = [
        Jenkins(server.port, name=name, nodes=[Node(f"{name}-1", 2)], reconnect_s=0.05) for name in ("one", "two")
    ]
    for each in controllers:
        each.add_job("unit", lambda _parameters, _folder: "SUCCESS", fetch=False)
        each.hold("unit")
        await each.start()
        await each.ready()
    uniques = [bench.launch() for _ in range(4)]
    await when(lambda: len({each.uuid for each in bench.updates if each.started}) == 4, "all to run")
    assert [len(each.builds) for each in controllers] == [2, 2]
    stopped = controllers[1].builds[0]
    bench.launcher.cancel(stopped.uuid)
    await when(lambda: stopped.result == "ABORTED", "the stop")
    for each in controllers:
        each.release("unit")
    await bench.end(3)
    assert {each.uuid for each in bench.ends} == {each for each in uniques if each != stopped.uuid}
    assert [each.result for each in controllers[0].builds] == ["SUCCESS", "SUCCESS"]
    for each in controllers:
        await each.stop()


# What the gate itself says


async def test_a_label_that_no_worker_has_is_named(worker, bench):
    bench.launch(node="huge")
    end = await bench.end()
    assert end.result == "NOT_REGISTERED"
    assert "build:unit:huge" in end.reason


async def test_a_worker_that_came_just_before_a_build_is_found(server, tmp_path):
    """The list is not read at every launch; nor is a build judged by one that is older than the build."""
    async with Bench(server.port, tmp_path, replace(QUICK, list_age=0.5)) as bench:
        await when(lambda: bench.launcher._functions.settled(asyncio.get_running_loop().time()), "the list")
        bench.launch("nobodys")
        await bench.end()  # the list has just been read
        worker = await asyncio.to_thread(Worker, server.port, "build:unit")
        there = Address(HOST, server.port)
        while not (await registered_functions(there)).get("build:unit"):  # noqa: ASYNC110  # it can only be asked
            await asyncio.sleep(0.01)
        bench.launch()
        (await worker.job()).sendWorkComplete(data(result="SUCCESS"))
        assert (await bench.end(2)).result == "SUCCESS"
        await asyncio.to_thread(worker.stop)


async def test_a_function_whose_workers_have_left_is_still_known(server, worker, bench):
    """On-demand nodes: the build waits until one is there."""
    await when(lambda: bench.launcher._knows("build:unit"), "the list of functions")
    await asyncio.to_thread(worker.stop)
    bench.launch()
    await when(lambda: bench.launcher.state.counts.queued, "it to wait")
    again = await asyncio.to_thread(Worker, server.port, "build:unit")
    (await again.job()).sendWorkComplete(data(result="SUCCESS"))
    assert (await bench.end()).result == "SUCCESS"
    await asyncio.to_thread(again.stop)


async def test_a_build_that_its_server_has_forgotten_runs_again(server, tmp_path):
    async with Bench(server.port, tmp_path, check_job_registration=False) as bench:
        bench.launch()
        await when(lambda: bench.launcher.state.counts.queued, "it to wait")
        (handle,) = bench.launcher._builds._by_handle
        reader, writer = await asyncio.open_connection(HOST, server.port)
        writer.write(b"cancel job %s\n" % handle)  # by somebody else: our server and gear's tell the client nothing
        assert (await reader.readline()).startswith(b"OK")
        end = await bench.end()
        assert (end.result, end.counted) == (None, True)
        writer.close()


async def test_a_build_that_ran_ends_uncounted_when_its_server_stays_away(server, worker, tmp_path):
    async with Bench(server.port, tmp_path, replace(QUICK, unknown_limit=0.3)) as bench:
        both = {bench.launch(), bench.launch(node="big")}
        job = await worker.job()
        job.sendWorkData(data())
        running = job.unique.decode()
        await when(lambda: bench.updates, "its start")
        await when(lambda: bench.launcher.state.counts.queued, "the other to be there")
        await server.stop()
        end = await bench.end()
        assert (end.uuid, end.result, end.counted) == (running, None, False)
        assert "no connection to the job server" in end.reason
        assert [each.uuid for each in bench.ends] == [running], "the other has not said that it began"
        assert running in both


# Servers that are not what they should be


class OddServer:
    """Takes submissions, and answers each as it is told to."""

    def __init__(self, answer: bytes | None) -> None:
        self._answer = answer
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []
        self.port = 0
        self.submitted = 0

    async def __aenter__(self) -> OddServer:
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_) -> None:
        self._server.close()
        for each in self._writers:
            each.transport.abort()

    async def _serve(self, reader, writer) -> None:
        self._writers.append(writer)
        while head := await reader.read(1):
            if head != b"\0":  # an administrator's line
                line = head + await reader.readline()
                writer.write(b".\n" if line == b"status\n" else b"ERR UNKNOWN_COMMAND\n")
                continue
            header = await reader.readexactly(11)
            await reader.readexactly(int.from_bytes(header[7:]))
            self.submitted += 1
            if self._answer is not None:
                size = len(self._answer).to_bytes(4)
                writer.write(b"\0RES" + constants.ERROR.to_bytes(4) + size + self._answer)


async def test_a_build_that_the_server_refuses_ends_with_its_words(tmp_path):
    async with (
        OddServer(b"QUEUE_FULL\0no more jobs, please") as odd,
        Bench(odd.port, tmp_path, check_job_registration=False) as bench,
    ):
        bench.launch()
        end = await bench.end()
        assert end.result == "EXCEPTION"
        assert "QUEUE_FULL no more jobs, please" in end.reason


async def test_a_server_that_takes_builds_without_a_word_is_left_for_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(client, "ANSWER_S", 0.3)
    server = Embedded()
    await server.start()
    worker = await asyncio.to_thread(Worker, server.port, "build:unit")
    options = {"check_job_registration": False, "others": ((HOST, server.port),)}
    async with OddServer(None) as odd, Bench(odd.port, tmp_path, **options) as bench:
        bench.launch()
        (await worker.job()).sendWorkComplete(data(result="SUCCESS"))
        assert (await bench.end()).result == "SUCCESS"
        assert odd.submitted
    await asyncio.to_thread(worker.stop)
    await server.stop()


async def test_what_a_server_says_of_jobs_that_nobody_asked_for_is_ignored(server, worker, bench):
    """A worker that talks about handles which are not its own, or no longer anybody's."""
    stranger = await PacketStream.connect(Address(HOST, server.port))
    for kind in (constants.WORK_DATA, constants.WORK_COMPLETE):
        await stranger.send(kind, b"H:nobody:1", NOTHING)
    bench.launch()
    (await worker.job()).sendWorkComplete(data(result="SUCCESS"))
    assert (await bench.end()).result == "SUCCESS"
    stranger.close()
