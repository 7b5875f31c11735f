"""Builds that the job server does not know any more are looked for at Jenkins before they are sent again."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from gearman_parts import (
    GEARMANDS,
    Bench,
    Embedded,
    Gear,
    Gearmand,
    Worker,
    data,
    gearmand_is_there,
    has_ended,
    request_for,
    when,
)

from ci_gate.config.settings import JenkinsSettings
from ci_gate.jenkins.records import JenkinsRecords
from ci_gate.jenkins.watch import WatchTimes
from ci_gate.model.build import Begun
from ci_gate.sandbox.jenkins_rest import JenkinsRest, RestBuild, RestItem

FORGETTING = [Gear, GEARMANDS]
TIMES = WatchTimes(limit=5.0, jobs_age=0.0, pause=0.2, shortest_wait=0.05, longest_wait=0.2, jitter=0.0)
BEGUN = Begun("jenkins", 7)


@pytest.fixture(params=FORGETTING)
def server_kind(request):
    return request.param


@pytest.fixture
async def jenkins():
    made = JenkinsRest()
    made.nodes["node-1"] = (1, ("node-1", "big"))
    made.add("unit")
    await made.start()
    yield made
    await made.stop()


def section(jenkins: JenkinsRest, name: str = "main", **settings) -> JenkinsSettings:
    return JenkinsSettings(name, jenkins.url, **{"user": "gate", "token": "token-1", "poll_interval_s": 0.1} | settings)


@asynccontextmanager
async def service(server, folder, *sections: JenkinsSettings, times: WatchTimes = TIMES) -> AsyncIterator[Bench]:
    """One that looks for builds at Jenkins."""
    records = JenkinsRecords(sections, times)
    async with Bench(server.port, folder, elsewhere=records) as bench:
        yield bench
    await records.close()


def at_jenkins(jenkins: JenkinsRest, uuid: str, path: str = "unit", number: int = 7, result: str | None = None):
    """A build that the plugin started, for a minute by now."""
    job = jenkins.jobs[tuple(path.split("/"))]
    build = RestBuild(job, number, {"ZUUL_UUID": uuid}, time.time() - 60.0, node="node-1")
    if result:
        build.end(result)
        build.ended = build.started + 20.0
    job.builds.insert(0, build)
    return build


async def left_behind(server, worker, folder, *, ends: bool = True) -> str:
    """Launched by a service that is gone by now; its end, as number 7, was heard by nobody.

    The server has had that end when this returns: one that comes later would reach whoever asks for the build next.
    """
    async with Bench(server.port, folder) as before:
        unique = before.launch()
        job = await worker.job()
        job.sendWorkData(data())
        await when(lambda: before.updates, "its start")
    if ends:
        job.sendWorkComplete(data(result="SUCCESS"))
        await has_ended(server, "build:unit")
    return unique


@pytest.mark.parametrize(
    ("result", "begun"), [("SUCCESS", None), ("SUCCESS", BEGUN), ("FAILURE", None), ("ABORTED", BEGUN)]
)
async def test_what_ended_meanwhile_is_not_run_again(
    server, worker, jenkins, tmp_path, *, result: str, begun: Begun | None
):
    unique = await left_behind(server, worker, tmp_path)
    build = at_jenkins(jenkins, unique, result=result)
    async with service(server, tmp_path, section(jenkins)) as after:
        after.launcher.launch(request_for(uuid=unique), begun, again=True)
        end = await after.end()
        after.launcher.launch(request_for(job="other"))
    assert (end.uuid, end.result, end.counted) == (unique, result, True)
    assert (end.last.number, end.last.url) == (7, f"{jenkins.url}/job/unit/7/")
    assert (end.last.node_name, end.last.node_labels, end.last.worker.name) == ("node-1", ("node-1", "big"), "node-1")
    assert end.last.started_at == pytest.approx(build.started, abs=0.01)
    assert end.ended_at == pytest.approx(build.ended, abs=0.01)
    assert len(worker.jobs) == 1


@gearmand_is_there
async def test_what_runs_on_is_attached_to_without_asking_jenkins(jenkins, tmp_path):
    server = Gearmand()
    await server.start()
    worker = await asyncio.to_thread(Worker, server.port, "build:unit")
    unique = await left_behind(server, worker, tmp_path, ends=False)
    async with service(server, tmp_path, section(jenkins)) as after:
        after.launcher.launch(request_for(uuid=unique), BEGUN, again=True)
        await when(lambda: after.launcher.state.counts.running, "the attachment")
        worker.jobs[0].sendWorkComplete(data(result="FAILURE"))
        assert (await after.end()).result == "FAILURE"
    assert (len(worker.jobs), jenkins.requests.total()) == (1, 0)
    await asyncio.to_thread(worker.stop)
    await server.stop()


@pytest.mark.parametrize("begun", [None, BEGUN], ids=["not heard of", "begun"])
async def test_what_is_nowhere_is_sent_again_and_no_build_of_its_number_is_stopped(
    server, worker, jenkins, tmp_path, begun
):
    at_jenkins(jenkins, "f" * 32, number=7)
    request = request_for()
    async with service(server, tmp_path, section(jenkins)) as after:
        after.launcher.launch(request, begun, again=True)
        job = await worker.job()
        job.sendWorkComplete(data(number=8, result="SUCCESS"))
        assert (await after.end()).result == "SUCCESS"
        assert len(after.ends) == 1
    assert worker.uniques() == [request.uuid]


async def test_a_jenkins_that_does_not_answer_holds_up_its_own_builds_only_and_for_a_bounded_time(
    server, worker, jenkins, tmp_path
):
    await jenkins.stop()
    lost = request_for()
    times = WatchTimes(limit=1.0, shortest_wait=0.05, longest_wait=0.2)
    async with service(server, tmp_path, section(jenkins), times=times) as after:
        after.launcher.launch(lost, again=True)
        fresh = after.launch()
        assert worker.uniques() in ([], [fresh])
        job = await worker.job()
        job.sendWorkComplete(data(result="SUCCESS"))
        await worker.job(2)
    assert worker.uniques() == [fresh, lost.uuid]


async def test_a_jenkins_that_refuses_us_is_not_waited_for(server, worker, jenkins, tmp_path):
    request = request_for()
    async with service(server, tmp_path, section(jenkins, token="wrong"), times=WatchTimes(limit=600.0)) as after:
        after.launcher.launch(request, again=True)
        assert (await worker.job()).unique.decode() == request.uuid


async def test_a_jenkins_that_restarts_is_waited_for(server, worker, jenkins, tmp_path):
    unique = await left_behind(server, worker, tmp_path)
    at_jenkins(jenkins, unique, result="SUCCESS")
    jenkins.statuses = [503, 503]
    async with service(server, tmp_path, section(jenkins)) as after:
        after.launcher.launch(request_for(uuid=unique), BEGUN, again=True)
        assert (await after.end()).result == "SUCCESS"
    assert (len(worker.jobs), jenkins.statuses) == (1, [])


async def test_what_runs_where_no_job_server_knows_it_is_followed_to_its_end(server, worker, jenkins, tmp_path):
    unique = request_for().uuid
    build = at_jenkins(jenkins, unique)
    async with service(server, tmp_path, section(jenkins)) as after:
        after.launcher.launch(request_for(uuid=unique), BEGUN, again=True)
        update = await when(lambda: after.updates and after.updates[0], "its start")
        assert (update.started, update.number, update.manager, update.estimate_s) == (True, 7, None, 60.0)
        assert after.launcher.state.counts.running == 1
        after.launcher.launch(request_for(uuid=unique))
        build.end("UNSTABLE")
        assert (await after.end()).result == "UNSTABLE"
        assert after.launcher.state.counts.running == 0
    assert worker.jobs == []


async def test_what_is_followed_is_stopped_at_jenkins(server, worker, jenkins, tmp_path):
    unique = request_for().uuid
    build = at_jenkins(jenkins, unique)
    async with service(server, tmp_path, section(jenkins)) as after:
        after.launcher.launch(request_for(uuid=unique), again=True)
        await when(lambda: after.updates, "its start")
        after.launcher.cancel(unique)
        await when(lambda: build.result == "ABORTED", "its end")
        assert (build.signals, after.ends) == (["stop"], [])
    assert worker.jobs == []


async def test_what_is_cancelled_while_it_is_looked_for_is_stopped(server, worker, jenkins, tmp_path):
    unique = request_for().uuid
    build = at_jenkins(jenkins, unique)
    async with service(server, tmp_path, section(jenkins)) as after:
        jenkins.statuses = [503] * 3
        after.launcher.launch(request_for(uuid=unique), again=True)
        await when(lambda: len(jenkins.statuses) < 3, "the first question")
        after.launcher.cancel(unique)
        await when(lambda: build.result == "ABORTED", "its end")
        assert (after.ends, after.updates) == ([], [])
    assert worker.jobs == []


@pytest.mark.parametrize("taken_out", [False, True])
async def test_what_waits_in_jenkins_queue_is_followed_from_there(server, worker, jenkins, tmp_path, taken_out):
    request = request_for()
    job = jenkins.add("ci/unit")
    jenkins.held = True
    item = jenkins.items[1] = RestItem(1, job, {"ZUUL_UUID": request.uuid}, time.time())
    async with service(server, tmp_path, section(jenkins, job_path="**/{job}")) as after:
        after.launcher.launch(request, again=True)
        await when(lambda: after.launcher.state.counts.running, "it to be found")
        if taken_out:
            after.launcher.cancel(request.uuid)
            await when(lambda: item.cancelled, "it to be taken out")
        else:
            jenkins.held = False
            (build,) = await when(lambda: jenkins.running, "its start")
            await when(lambda: after.updates, "the news of it")
            build.end("SUCCESS")
            end = await after.end()
            assert (end.result, end.last.url) == ("SUCCESS", f"{jenkins.url}/job/ci/job/unit/1/")
    assert worker.jobs == []


async def test_each_folder_of_each_jenkins_is_looked_into(server, worker, jenkins, tmp_path):
    other = JenkinsRest()
    other.add("a/unit")
    other.add("b/deep/unit")
    await other.start()
    unique = request_for().uuid
    at_jenkins(other, "e" * 32, "a/unit", result="FAILURE")
    at_jenkins(other, unique, "b/deep/unit", result="SUCCESS")
    sections = section(jenkins), section(other, "other", job_path="**/{job}")
    async with service(server, tmp_path, *sections) as after:
        after.launcher.launch(request_for(uuid=unique), BEGUN, again=True)
        assert (await after.end()).result == "SUCCESS"
    await other.stop()
    assert worker.jobs == []


async def test_many_builds_of_one_job_are_one_question(server, worker, jenkins, tmp_path):
    uniques = [request_for().uuid for _ in range(30)]
    for number, unique in enumerate(uniques):
        at_jenkins(jenkins, unique, number=number, result="SUCCESS")
    async with service(server, tmp_path, section(jenkins)) as after:
        for unique in uniques:
            after.launcher.launch(request_for(uuid=unique), again=True)
        await after.end(len(uniques))
    assert {each.uuid for each in after.ends} == set(uniques)
    assert jenkins.requests["GET /job/unit/api/json"] == 1
    assert worker.jobs == []


async def test_a_job_that_does_not_declare_the_uuid_proves_nothing(server, worker, jenkins, tmp_path):
    jenkins.jobs["unit",].declared = ["ZUUL_CHANGE"]
    request = request_for()
    async with service(server, tmp_path, section(jenkins)) as after:
        after.launcher.launch(request, BEGUN, again=True)
        end = await after.end()
        assert (end.result, end.counted) == (None, False)
        await worker.job()
    assert [each.name for each in worker.jobs] == ["stop:jenkins"]


async def test_jobs_that_the_section_leaves_out_are_not_asked_for(server, worker, jenkins, tmp_path):
    request = request_for()
    async with service(server, tmp_path, section(jenkins, jobs=re.compile("other$"))) as after:
        after.launcher.launch(request, again=True)
        assert (await worker.job()).unique.decode() == request.uuid
    assert not jenkins.requests


async def test_our_own_server_is_believed(jenkins, tmp_path):
    server = Embedded()
    await server.start()
    worker = await asyncio.to_thread(Worker, server.port, "build:unit")
    unique = await left_behind(server, worker, tmp_path)
    async with service(server, tmp_path, section(jenkins)) as after:
        after.launcher.launch(request_for(uuid=unique), BEGUN, again=True)
        assert (await after.end()).result == "SUCCESS"
    assert (len(worker.jobs), jenkins.requests.total()) == (1, 0)
    await asyncio.to_thread(worker.stop)
    await server.stop()


async def test_a_job_server_that_comes_back_without_the_build_is_no_reason_to_run_it_again(server, jenkins, tmp_path):
    worker = await asyncio.to_thread(Worker, server.port, "build:unit")
    async with service(server, tmp_path, section(jenkins)) as bench:
        unique = bench.launch()
        (await worker.job()).sendWorkData(data())
        await when(lambda: bench.updates, "its start")
        build = at_jenkins(jenkins, unique)
        await server.stop()
        await asyncio.to_thread(worker.stop)
        await server.start()
        later = await asyncio.to_thread(Worker, server.port, "build:unit", "stop:jenkins")
        await when(lambda: len(bench.updates) > 1, "it to be found")
        build.end("SUCCESS")
        assert (await bench.end()).result == "SUCCESS"
    assert (later.jobs, build.signals) == ([], [])
    await asyncio.to_thread(later.stop)


async def test_a_search_that_outlives_the_connection_asks_the_next_server(server, worker, jenkins, tmp_path):
    """What the first said may be wrong by then."""
    request = request_for()
    jenkins.statuses = [503] * 1000
    async with service(server, tmp_path, section(jenkins)) as bench:
        bench.launcher.launch(request, again=True)
        await when(lambda: len(jenkins.statuses) < 1000, "the first question")
        await asyncio.to_thread(worker.stop)
        await server.stop()
        await when(lambda: not bench.launcher.state.connected, "the loss")
        jenkins.statuses.clear()
        await when(lambda: jenkins.requests["GET /job/unit/api/json"], "the answer")
        await server.start()
        later = await asyncio.to_thread(Worker, server.port, "build:unit")
        assert (await later.job()).unique.decode() == request.uuid
    assert bench.ends == []
    await asyncio.to_thread(later.stop)


@gearmand_is_there
@pytest.mark.parametrize("ran", [False, True])
async def test_what_gearmand_keeps_to_be_skipped_may_have_run(jenkins, tmp_path, ran):
    """It queues a job again when its worker is lost, and skips it when nobody waits for it."""
    server = Gearmand()
    await server.start()
    offering = await asyncio.to_thread(Worker, server.port, "build:unit")
    await asyncio.to_thread(offering.stop)
    async with Bench(server.port, tmp_path) as before:
        unique = before.launch()
        await when(lambda: before.launcher.state.counts.queued, "it to wait")
    if ran:
        at_jenkins(jenkins, unique, result="FAILURE")
    async with service(server, tmp_path, section(jenkins)) as after:
        after.launcher.launch(request_for(uuid=unique), again=True)
        end = await after.end()
    assert (end.result, end.counted) == (("FAILURE", True) if ran else (None, False))
    await server.stop()


async def test_a_build_that_many_others_followed_is_found_too(server, worker, jenkins, tmp_path):
    unique = await left_behind(server, worker, tmp_path)
    at_jenkins(jenkins, unique, result="SUCCESS")
    for number in range(8, 98):
        at_jenkins(jenkins, request_for().uuid, number=number)
    async with service(server, tmp_path, section(jenkins)) as after:
        after.launcher.launch(request_for(uuid=unique), BEGUN, again=True)
        assert (await after.end()).result == "SUCCESS"
    assert len(worker.jobs) == 1


async def test_what_a_server_said_before_it_was_lost_decides_nothing(server, jenkins, tmp_path):
    jenkins.jobs["unit",].declared = ["ZUUL_CHANGE"]
    jenkins.statuses = [503] * 1000
    async with service(server, tmp_path, section(jenkins)) as bench:
        bench.launcher.launch(request_for(), BEGUN, again=True)
        await when(lambda: len(jenkins.statuses) < 1000, "the first question")
        await server.stop()
        await when(lambda: not bench.launcher.state.connected, "the loss")
        jenkins.statuses.clear()
        await when(lambda: not bench.launcher._search.under_way, "the answer")
        assert bench.launcher.state.counts.unknown == 1
        await server.start()
        assert (await bench.end()).counted is False
