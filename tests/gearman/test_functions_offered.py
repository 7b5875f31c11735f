"""Operators' functions over Gearman: real job servers, and a script's own client (outputs.md 7)."""

from __future__ import annotations

import asyncio
import json

import gear
import pytest
from gearman_parts import HOST, SERVERS, Gearmand, when

from ci_gate.gearman.functions_offered import OfferedFunctions
from ci_gate.job_servers import Address
from ci_gate.model.operations import CommandAnswer


async def enqueue(request) -> CommandAnswer:
    if request.get("change") == "1,1":
        return CommandAnswer(done=False, lines=("did not enter: closed",))
    return CommandAnswer(done=False, lines=("Invalid trigger: x", "Invalid project: y"), valid=False)


async def running(_request) -> CommandAnswer:
    return CommandAnswer(done=True, lines=(), data=[{"id": "1,1"}])


async def broken(_request) -> CommandAnswer:
    raise RuntimeError("secret")


FUNCTIONS = {"zuul:enqueue": enqueue, "zuul:get_running_jobs": running, "zuul:promote": broken}


@pytest.fixture(
    params=SERVERS
)
async def ask(request):
    server = request.param()
    await server.start()
    offered = OfferedFunctions([Address(HOST, server.port)], FUNCTIONS)
    await offered.start()
    client = gear.Client()
    if isinstance(server, Gearmand):
        client.setOption("exceptions")  # it keeps them from clients that do not ask for them
    client.addServer(HOST, server.port)
    await asyncio.to_thread(client.waitForServer)

    async def asking(name: str, arguments: bytes) -> gear.Job:
        job = gear.Job(name.encode(), arguments)
        await asyncio.to_thread(client.submitJob, job)
        await when(lambda: job.complete, f"an answer to {name}")
        return job

    yield asking
    await asyncio.to_thread(client.shutdown)
    await offered.stop()
    await server.stop()


def said(job) -> str:
    return b"".join(job.data).decode()


async def test_what_was_carried_out_is_complete_and_empty_though_nothing_entered(ask):
    job = await ask("zuul:enqueue", json.dumps({"change": "1,1"}).encode())
    assert (job.failure, job.exception, said(job)) == (False, None, "")


async def test_what_does_not_exist_is_an_exception_with_a_line_each(ask):
    job = await ask("zuul:enqueue", b"{}")
    assert job.exception == b"Invalid trigger: x\nInvalid project: y\n"


async def test_running_jobs_are_a_list_of_items(ask):
    assert json.loads(said(await ask("zuul:get_running_jobs", b"{}"))) == [{"id": "1,1"}]


@pytest.mark.parametrize("arguments", [b"[]", b"{", b"\xff"])
async def test_arguments_that_are_none_are_told_as_such(ask, arguments):
    assert (await ask("zuul:enqueue", arguments)).exception.startswith(b"Invalid arguments: ")


async def test_a_failure_inside_is_an_answer_without_secrets_and_the_next_is_served(ask):
    assert (await ask("zuul:promote", b"{}")).exception == b"RuntimeError; see the log of the service\n"
    assert said(await ask("zuul:get_running_jobs", b""))
