"""With ``ci-gate gearman`` in a process of its own, builds outlive the service: none runs twice."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator

import pytest
from e2e_site import EXAMPLES, JOB, Site, when

from ci_gate.sandbox.world import World

pytestmark = pytest.mark.e2e


@pytest.fixture
async def apart(tmp_path) -> AsyncIterator[Site]:
    """A site whose job server is not the service's child."""
    world = World(tmp_path / "world", EXAMPLES, settings={("gearman_server", "start"): "false"})
    async with world:
        command = [sys.executable, "-m", "ci_gate", "gearman", "--config", str(world.config)]
        server = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
        try:
            assert await server.stdout.readline() == f"listening {world.gearman_port}\n".encode()
            site = Site(world)
            site.job_server = server
            await site.start()
            world.jenkins.add_job(JOB, "true", fetch=False)  # the refs are the service's, and it will be down
            yield site
            await world.stop_service()
        finally:
            server.terminate()
            assert await server.wait() == 0


@pytest.mark.parametrize("ends_meanwhile", [True, False])
async def test_a_build_runs_once_although_the_service_is_killed(apart, ends_meanwhile):
    apart.jenkins.hold(JOB)
    change = apart.upload()
    await when(lambda: apart.builds(change.number), "its build")
    await apart.world.stop_service(signal.SIGKILL)
    if ends_meanwhile:
        apart.jenkins.release(JOB)
        await when(lambda: apart.builds(change.number)[0].result, "the end that nobody hears")
    await apart.world.start_service()
    if not ends_meanwhile:
        apart.jenkins.release(JOB)
    await apart.vote(change.number, +1)
    await apart.nothing_left()
    assert len(apart.builds(change.number)) == 1


async def test_a_build_of_the_run_before_is_stopped_when_its_change_is_replaced(apart):
    apart.jenkins.hold(JOB)
    change = apart.upload()
    (build,) = await when(lambda: apart.builds(change.number), "its build")
    await apart.world.stop_service(signal.SIGKILL)
    await apart.world.start_service()
    apart.gerrit.abandon(change.number, by="dev")
    await when(lambda: build.result == "ABORTED", "the stop")
    await apart.nothing_left()


async def test_a_cancel_that_the_job_server_did_not_take_in_before_a_crash_is_repeated(apart):
    apart.jenkins.hold(JOB)
    change = apart.upload()
    (build,) = await when(lambda: apart.builds(change.number), "its build")
    await when(lambda: apart.status()["ci_gate"]["builds"]["running"], "the service to know that it runs")
    apart.job_server.send_signal(signal.SIGSTOP)
    try:
        apart.gerrit.abandon(change.number, by="dev")
        await apart.nothing_left()
        await apart.world.stop_service(signal.SIGKILL)
    finally:
        apart.job_server.send_signal(signal.SIGCONT)
    await apart.world.start_service()
    await when(lambda: build.result == "ABORTED", "the stop")
    assert len(apart.builds(change.number)) == 1
