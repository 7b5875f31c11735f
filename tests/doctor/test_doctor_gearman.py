"""The doctor at real job servers: ours, gear's and gearmand, with real workers."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import gear
import pytest
from doctor_parts import HOST, LAYOUT, assert_good, assert_wrong, worker
from gearmand_server import Gearmand, gearmand_is_there

from ci_gate.doctor import gearman
from ci_gate.doctor.check import Mark
from ci_gate.gearman.inquiry import Address, InquiryError, registered_functions
from ci_gate.gearman.job_server import JobServer
from ci_gate.sandbox.ports import free_port

DEADLINE_S = 10.0


@asynccontextmanager
async def our_server() -> AsyncIterator[int]:
    server = JobServer(HOST, 0)
    yield server.port
    await asyncio.to_thread(server.shutdown)


@asynccontextmanager
async def gears_server() -> AsyncIterator[int]:
    server = gear.Server(free_port(), HOST)
    yield server.port
    await asyncio.to_thread(server.shutdown)


@asynccontextmanager
async def gearmand() -> AsyncIterator[int]:
    async with Gearmand() as server:
        yield server.port


@pytest.fixture(params=[our_server, gears_server, pytest.param(gearmand, marks=gearmand_is_there)])
async def port(request):
    async with request.param() as port:
        yield port


async def offered(port: int, function: str) -> None:
    ends_at = time.monotonic() + DEADLINE_S
    while True:
        try:
            if (await registered_functions(Address(HOST, port))).get(function):
                return
        except InquiryError:
            pass  # it has not begun to listen
        assert time.monotonic() < ends_at
        await asyncio.sleep(0.01)


async def test_jobs_that_workers_offer_are_good_and_others_are_named(bare_site, port):
    made = await asyncio.to_thread(worker, port, "build:unit", "build:style:some-node")
    try:
        await offered(port, "build:unit")
        await offered(port, "build:style:some-node")
        bare_site.write_layout(LAYOUT.replace("[unit, noop]", "[unit, style, noop]"))
        found = await bare_site.look(gearman={"port": str(port)})
        assert_good(found["Gearman/job server"], f"127.0.0.1:{port}")
        assert_good(found["Gearman/jobs"], "(2)")
        assert "Gearman/Gerrit Trigger" not in found, "no Jenkins is connected"
        bare_site.write_layout(LAYOUT.replace("[unit, noop]", "[unit, docs]"))
        finding = (await bare_site.look())["Gearman/jobs"]
        assert_wrong(finding, "1 of 2 jobs", "nobody offers docs", f"127.0.0.1:{port}")
        assert finding.items == ("docs",)
    finally:
        await asyncio.to_thread(made.shutdown)


async def test_a_jenkins_behind_the_plugin_is_not_called_free_of_triggers(bare_site, port):
    made = await asyncio.to_thread(worker, port, "build:unit", "stop:jenkins.example.org")
    try:
        await offered(port, "stop:jenkins.example.org")
        finding = (await bare_site.look(gearman={"port": str(port)}))["Gearman/Gerrit Trigger"]
        assert finding.mark is Mark.UNKNOWN
        assert "migrate gerrit-trigger" in finding.fix
    finally:
        await asyncio.to_thread(made.shutdown)


async def test_without_mergers_of_its_own_a_site_needs_one_that_is_connected(bare_site, port):
    await offered_nothing(port)
    bare_site.values["merger"]["embedded"] = "false"
    found = await bare_site.look(gearman={"port": str(port)})
    assert_wrong(found["Gearman/mergers"], "no merger is connected", "ci-gate merger")
    made = await asyncio.to_thread(worker, port, "merger:merge")
    try:
        await offered(port, "merger:merge")
        assert_good((await bare_site.look())["Gearman/mergers"], "1 merger")
    finally:
        await asyncio.to_thread(made.shutdown)


async def offered_nothing(port: int) -> None:
    """Until the server listens."""
    made = await asyncio.to_thread(worker, port, "build:other")
    await offered(port, "build:other")
    await asyncio.to_thread(made.shutdown)


async def test_a_job_server_that_is_not_there_is_wrong(bare_site):
    found = await bare_site.look()
    assert_wrong(found["Gearman/job server"], "no job server", "[gearman] server and port")
    assert found["Gearman/jobs"].mark is Mark.NOT_TRIED


async def test_a_port_that_says_nothing_is_no_job_server(bare_site, monkeypatch):
    monkeypatch.setattr(gearman, "ANSWER_S", 0.2)
    with socket.create_server((HOST, 0)) as silent:
        found = await bare_site.look(gearman={"port": str(silent.getsockname()[1])})
    assert_wrong(found["Gearman/job server"], "no answer within 0.2 s")


async def test_the_built_in_job_server_is_not_tried_while_the_service_does_not_run(bare_site):
    found = await bare_site.look(gearman_server={"start": "true", "listen_address": HOST})
    assert found["Gearman/job server"].mark is Mark.NOT_TRIED
    assert "service, which does not run" in found["Gearman/job server"].text


async def test_a_port_that_the_built_in_job_server_will_not_get_is_wrong(bare_site):
    with socket.create_server((HOST, 0)) as other:
        port = str(other.getsockname()[1])
        found = await bare_site.look(gearman={"port": port}, gearman_server={"start": "true", "listen_address": HOST})
    assert_wrong(found["Gearman/job server"], f"port {port} is held by another program", "ss -ltnp")
