"""The simulated Jenkins as a gear client and server see it (gearman-jenkins.md 6)."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
import uuid

import gear
import pytest

from ci_gate.sandbox.jenkins import Fault, Jenkins, Node
from ci_gate.sandbox.ports import free_port

HOST = "127.0.0.1"


class Client:
    """A gear client that waits for its jobs in a thread."""

    def __init__(self, port: int) -> None:
        self._client = gear.Client()
        self._client.addServer(HOST, port)
        self._client.waitForServer()

    async def submit(self, function: str, **parameters: object) -> gear.Job:
        job = gear.Job(function, json.dumps(parameters).encode(), uuid.uuid4().hex)
        await asyncio.to_thread(self._client.submitJob, job)
        return job

    def close(self) -> None:
        self._client.shutdown()


async def when(condition, what: str):
    ends_at = time.monotonic() + 10
    while not (answer := condition()):
        assert time.monotonic() < ends_at, f"{what}: not within 10 s"
        await asyncio.sleep(0.005)
    return answer


def functions(port: int) -> set[str]:
    """What the server lists, by its administrative protocol."""
    client = gear.Client()
    client.addServer(HOST, port)
    client.waitForServer()
    request = gear.StatusAdminRequest()
    client.getConnection().sendAdminRequest(request)
    client.shutdown()
    return {line.split(b"\t")[0].decode() for line in request.response.splitlines() if b"\t" in line}


@pytest.fixture
async def server():
    port = free_port()
    running = gear.Server(port, HOST)
    yield port
    await asyncio.to_thread(running.shutdown)


@pytest.fixture
async def jenkins(server, tmp_path):
    nodes = [Node("node-1", labels=("linux",)), Node("node-2", labels=("windows",))]
    made = Jenkins(server, nodes=nodes, reconnect_s=0.05, log_dir=tmp_path / "logs", estimate_ms=1500)
    await made.start()
    await made.ready()
    yield made
    await made.stop()


@pytest.fixture
async def client(server):
    made = await asyncio.to_thread(Client, server)
    yield made
    await asyncio.to_thread(made.close)


async def test_jobs_are_offered_by_name_and_by_label_on_the_nodes_that_have_it(server, jenkins):
    jenkins.add_job("anywhere", fetch=False)
    jenkins.add_job("special", labels=["windows"], fetch=False)
    await when(lambda: "build:special" in functions(server), "the registration")
    offered = functions(server)
    assert {"build:anywhere", "build:special", "build:special:windows"} <= offered
    assert {"stop:jenkins", "set_description:jenkins"} <= offered
    assert "build:special:linux" not in offered


async def test_a_build_tells_its_start_and_its_result_as_the_plugin_does(jenkins, client):
    jenkins.add_job("unit", 'test "$WANTED" = "1"', fetch=False)
    job = await client.submit("build:unit", WANTED=1)
    await when(lambda: job.complete, "the end")
    *_, started, ended = [json.loads(each) for each in job.data]
    assert set(started) == {"name", "number", "manager", "worker", "url", "node_name", "node_labels"}
    assert (started["name"], started["number"], started["manager"]) == ("unit", 1, "jenkins")
    assert ended == started | {"result": "SUCCESS"}
    assert job.denominator == b"1500"


async def test_a_script_that_fails_is_a_failure_and_still_complete(jenkins, client):
    jenkins.add_job("unit", "echo hello; false", fetch=False)
    job = await client.submit("build:unit", LOG_PATH="a/b")
    await when(lambda: job.complete, "the end")
    assert not job.failure
    assert json.loads(job.data[-1])["result"] == "FAILURE"
    log = (jenkins.log_dir / "a" / "b" / "console.txt").read_text()
    assert log == "hello\n\nFinished: FAILURE\n"


async def test_a_build_really_fetches_the_merged_ref(jenkins, client, tmp_path):
    where = tmp_path / "demo" / "app"
    where.mkdir(parents=True)
    identity = ["-c", "user.name=x", "-c", "user.email=x@y"]
    for command in (["init", "-q"], [*identity, "commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run(["git", *command], cwd=where, check=True)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=where, check=True, capture_output=True, text=True).stdout
    jenkins.add_job("unit", "git log -1 --format=%s")
    wanted = {"ZUUL_URL": f"file://{tmp_path}", "ZUUL_PROJECT": "demo/app", "ZUUL_REF": "HEAD"}
    good = await client.submit("build:unit", ZUUL_COMMIT=commit.strip(), **wanted)
    bad = await client.submit("build:unit", ZUUL_COMMIT="0" * 40, **wanted)
    await when(lambda: good.complete and bad.complete, "both ends")
    assert [json.loads(each.data[-1])["result"] for each in (good, bad)] == ["SUCCESS", "FAILURE"]


async def test_a_stopped_build_is_aborted_and_what_it_started_is_gone(jenkins, client):
    jenkins.add_job("unit", "sleep 60", fetch=False)
    job = await client.submit("build:unit")
    await jenkins.running("unit")
    stop = await client.submit("stop:jenkins", name="UNIT", number=1)
    await when(lambda: job.complete and stop.complete, "both ends")
    assert json.loads(job.data[-1])["result"] == "ABORTED"


async def test_stopping_what_has_ended_or_never_was_fails(jenkins, client):
    jenkins.add_job("unit", fetch=False)
    job = await client.submit("build:unit")
    await when(lambda: job.complete, "the end")
    ended = await client.submit("stop:jenkins", name="unit", number=1)
    unknown = await client.submit("stop:jenkins", name="unit", number=99)
    await when(lambda: ended.complete and unknown.complete, "the answers")
    assert ended.failure
    assert unknown.exception


async def test_lists_among_the_parameters_are_an_exception_as_with_the_plugin(jenkins, client):
    jenkins.add_job("unit", fetch=False)
    job = await client.submit("build:unit", NODES=["a"])
    await when(lambda: job.complete, "the end")
    assert b"IllegalArgumentException" in job.exception
    assert jenkins.builds == []


@pytest.mark.parametrize(
    ("fault", "shows"),
    [
        (Fault.NO_RESULT, lambda job: json.loads(job.data[-1])["result"] is None),
        (Fault.GARBAGE, lambda job: job.data[-1] == b"{garbage"),
        (Fault.ARRAY, lambda job: json.loads(job.data[-1]) == [1, 2]),
        (Fault.GARBAGE_AT_START, lambda job: job.data[0] == b"{garbage"),
        (Fault.NO_NUMBER, lambda job: "number" not in json.loads(job.data[0])),
        (Fault.STARTS_TWICE, lambda job: json.loads(job.data[1])["number"] == 1001),
        (Fault.ENDS_TWICE, lambda job: json.loads(job.data[-1])["result"] == "SUCCESS"),
        (Fault.EXCEPTION, lambda job: job.exception),
        (Fault.FAIL, lambda job: job.failure),
        (Fault.DIES, lambda job: job.failure),
    ],
    ids=lambda each: getattr(each, "name", ""),
)
async def test_a_fault_shows_as_what_it_says(jenkins, client, fault, shows):
    jenkins.add_job("unit", fetch=False)
    jenkins.misbehave("unit", fault)
    job = await client.submit("build:unit")
    await when(lambda: job.complete, "the end")
    assert shows(job)
    again = await client.submit("build:unit")
    await when(lambda: again.complete, "the next build")
    assert json.loads(again.data[-1])["result"] == "SUCCESS"


async def test_a_held_build_waits_and_goes_on_when_released(jenkins, client):
    jenkins.add_job("unit", fetch=False)
    jenkins.hold("unit")
    job = await client.submit("build:unit")
    build = await jenkins.running("unit")
    assert build.running
    jenkins.release("unit")
    await when(lambda: job.complete, "the end")


async def test_workers_come_back_after_the_server_has_gone(tmp_path):
    port = free_port()
    first = gear.Server(port, HOST)
    jenkins = Jenkins(port, nodes=[Node("node-1")], reconnect_s=0.05)
    jenkins.add_job("unit", fetch=False)
    await jenkins.start()
    await jenkins.ready()
    await asyncio.to_thread(first.shutdown)
    await jenkins.when(lambda: not any(each.asleep for each in jenkins._workers))
    second = gear.Server(port, HOST)
    await jenkins.ready()
    assert "build:unit" in await asyncio.to_thread(functions, port)
    await jenkins.stop()
    await asyncio.to_thread(second.shutdown)
