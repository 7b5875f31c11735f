"""Sites without the Gearman plugin: a stock Jenkins over the bridge, or plain commands; each as its command runs it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator

import pytest
from e2e_site import EXAMPLES, JOB, PROJECT, Site, when

from ci_gate.sandbox.jenkins_rest import JenkinsRest
from ci_gate.sandbox.world import World

pytestmark = pytest.mark.e2e


@contextlib.asynccontextmanager
async def process(*arguments: str, cwd) -> AsyncIterator[asyncio.subprocess.Process]:
    running = await asyncio.create_subprocess_exec(sys.executable, "-m", "ci_gate", *arguments, cwd=cwd)
    try:
        yield running
    finally:
        with contextlib.suppress(ProcessLookupError):
            running.terminate()
        assert await running.wait() == 0


@contextlib.asynccontextmanager
async def world_with(folder, settings=None) -> AsyncIterator[Site]:
    """The service runs; nobody offers a job yet, and the simulated plugin never will."""
    async with World(folder, EXAMPLES, settings=settings or {}) as world:
        world.gerrit.create_project(PROJECT, {"README": "one\n"})
        await world.start_service()
        yield Site(world)


async def test_a_change_is_tested_by_a_jenkins_without_the_plugin(tmp_path):
    jenkins = JenkinsRest()
    jenkins.add(f"ci/{JOB}")
    jenkins.build_s = 0.2
    await jenkins.start()
    token = tmp_path / "token"
    token.write_text("token-1\n")
    section = "jenkins main"
    settings = {
        (section, "url"): jenkins.url,
        (section, "user"): "gate",
        (section, "token_file"): str(token),
        (section, "job_path"): "ci/{job}",
        (section, "poll_interval"): "0.2",
    }
    try:
        async with (
            world_with(tmp_path / "world", settings) as site,
            process("jenkins", "--config", str(site.world.config), cwd=tmp_path),
        ):
            change = site.upload()
            await site.vote(change.number, +1)
            (report,) = await site.reports(change.number, 1)
            assert JOB in report
            ((build,),) = (each.builds for each in jenkins.jobs.values() if each.builds)
            await when(lambda: f">{JOB}</a>: SUCCESS</li>" in build.description, "the result beside the build")
    finally:
        await jenkins.stop()
    ((path, parameters),) = jenkins.starts
    assert (path, parameters["ZUUL_CHANGE"]) == (f"ci/{JOB}", str(change.number))


async def test_one_bridge_serves_two_jenkinses_and_one_that_is_away_holds_up_nothing(tmp_path):
    there, away = JenkinsRest(), JenkinsRest()
    there.add(JOB)
    there.build_s = 0.2
    await there.start()
    await away.start()
    await away.stop()
    settings = {}
    for name, jenkins in (("there", there), ("away", away)):
        token = tmp_path / f"token-{name}"
        token.write_text("token-1\n")
        section = f"jenkins {name}"
        settings |= {
            (section, "url"): jenkins.url,
            (section, "user"): "gate",
            (section, "token_file"): str(token),
            (section, "poll_interval"): "0.2",
        }
    try:
        async with (
            world_with(tmp_path / "world", settings) as site,
            process("jenkins", "--config", str(site.world.config), cwd=tmp_path),
        ):
            change = site.upload()
            await site.vote(change.number, +1)
            away.add("elsewhere")
            await away.start()
            await when(lambda: away.requests, "a look at the one that is back")
    finally:
        await there.stop()
        await away.stop()


async def test_a_change_is_tested_by_a_plain_command_in_its_merged_state(tmp_path):
    async with (
        world_with(tmp_path / "world") as site,
        process(
            "worker", "--config", str(site.world.config), "--folder", str(tmp_path / "worker"), "--log-address",
            "127.0.0.1", "--job", f"{JOB}=test -f good", cwd=tmp_path,
        ),
    ):  # fmt: skip
        good, bad = site.upload({"good": "x\n"}), site.upload({"bad": "x\n"})
        await site.vote(good.number, +1)
        await site.vote(bad.number, -1)
        logs = await when(lambda: list((tmp_path / "worker" / "logs").rglob("console.txt")), "logs")
        assert sorted(each.read_text().splitlines()[-1] for each in logs) == ["Finished: FAILURE", "Finished: SUCCESS"]


async def test_a_bridge_that_cannot_work_says_why_and_ends(tmp_path):
    config = tmp_path / "ci.conf"
    config.write_text("[gearman]\nserver=127.0.0.1\n[jenkins main]\nurl=http://127.0.0.1:1\nuser=gate\n")
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ci_gate", "jenkins", "--config", str(config), stderr=asyncio.subprocess.PIPE
    )
    _, said = await running.communicate()
    assert running.returncode == 1
    assert b"token_file" in said
