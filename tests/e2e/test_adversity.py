"""What the world does to a service: nothing is lost, nothing is said twice, and nobody waits for somebody else."""

from __future__ import annotations

import asyncio
import time

import pytest
from e2e_site import DEADLINE_S, EXAMPLES, JOB, PROJECT, Site, when
from gearmand_server import Gearmand, gearmand_is_there

from ci_gate.sandbox.gerrit import SandboxGerrit
from ci_gate.sandbox.world import CI_ACCOUNT, World

pytestmark = pytest.mark.e2e


TWO_GERRITS = """
pipelines:
  - name: first
    manager: IndependentPipelineManager
    source: gerrit
    trigger: {gerrit: [{event: patchset-created}]}
    success: {gerrit: {Verified: 1}}
  - name: second
    manager: IndependentPipelineManager
    source: other
    trigger: {other: [{event: patchset-created}]}
    success: {other: {Verified: 1}}
projects:
  - name: example/project
    first: [gate-example-project-unit]
    second: [gate-example-project-unit]
"""


async def test_a_vote_that_gerrit_fails_to_take_is_given_again_and_once(site):
    site.gerrit.faults.fail("review", "fatal: internal server error", times=2)
    change = site.upload()
    await site.vote(change.number, +1)
    assert len(site.ours(change.number)) == 1


async def test_a_vote_whose_answer_is_lost_is_not_given_twice(site):
    site.gerrit.faults.cut("review", applied=True)
    change = site.upload()
    await site.vote(change.number, +1)
    await site.nothing_left()
    assert len(site.ours(change.number)) == 1


async def test_a_lost_stream_is_opened_again(site):
    site.gerrit.drop_connections()
    await when(lambda: site.gerrit.listeners, "a new stream")
    change = site.upload()
    await site.vote(change.number, +1)


async def test_broken_lines_and_unknown_events_harm_nothing(site):
    site.gerrit.write_to_streams(b'{"type": broken\n\n[1, 2]\n{"type": "brand-new-event", "x": 1}\n\xff\xfe\n')
    change = site.upload()
    await site.vote(change.number, +1)


@pytest.mark.parametrize("silence", ["in the middle of its replies", "altogether"])
async def test_a_gerrit_that_falls_silent_delays_nobody_else(tmp_path, silence):
    with SandboxGerrit(tmp_path / "other-gerrit") as other:
        key = other.create_account(CI_ACCOUNT, votes={"Verified": (-1, 1)})
        other.create_account("dev", may_push=True)
        other.create_project(PROJECT, {"README": "x\n"})
        section = "connection other"
        settings = {
            (section, "driver"): "gerrit",
            (section, "server"): "127.0.0.1",
            (section, "port"): str(other.port),
            (section, "user"): CI_ACCOUNT,
            (section, "sshkey"): str(key),
        }
        async with World(tmp_path / "world", EXAMPLES, layout=TWO_GERRITS, settings=settings) as world:
            site = Site(world)
            await site.start()
            await when(lambda: other.listeners, "the stream of the other Gerrit")
            queries = sum("query" in each.line for each in site.gerrit.received)
            site.gerrit.faults.stall("query", times=100)
            stuck = site.upload()
            await when(lambda: sum("query" in each.line for each in site.gerrit.received) > queries, "an open question")
            if silence == "altogether":
                site.gerrit.faults.freeze()
            begun = time.monotonic()
            change = other.create_change(PROJECT, {"file": "x\n"}, "Go on", by="dev")
            await when(lambda: other.votes(change.number, "Verified").get(CI_ACCOUNT) == 1, "the other Gerrit's vote")
            assert time.monotonic() - begun < DEADLINE_S / 2
            assert site.vote_of(stuck.number) is None
            site.gerrit.faults.clear()
            await site.vote(stuck.number, +1)


async def test_a_gerrit_that_cannot_be_reached_at_start_is_tried_again(idle_site):
    gerrit = idle_site.gerrit
    gerrit.create_project(PROJECT, {"README": "x\n"})
    await asyncio.to_thread(gerrit.stop)
    starting = asyncio.create_task(idle_site.world.start_service())
    await when(lambda: idle_site.world.log.exists() and "cannot reach Gerrit" in log(idle_site), "the log saying so")
    assert not starting.done()
    await asyncio.to_thread(gerrit.start)
    await starting
    idle_site.jenkins.add_job(JOB)
    await idle_site.jenkins.start()
    change = idle_site.upload()
    await idle_site.vote(change.number, +1)


@gearmand_is_there
async def test_debians_gearmand_serves_as_well(tmp_path):
    settings = {("gearman_server", "start"): "false"}
    async with Gearmand() as server, World(tmp_path, EXAMPLES, settings=settings, gearman_port=server.port) as world:
        site = Site(world)
        await site.start()
        change = site.upload()
        await site.vote(change.number, +1)
        site.jenkins.hold(JOB)
        site.gerrit.comment(change.number, by="dev", message="recheck")
        build = await site.jenkins.running(JOB)
        site.gerrit.create_patch_set(change.number, {"file": "better\n"})
        await when(lambda: build.result == "ABORTED", "the end of the build of the older patch set")
        site.jenkins.release(JOB)
        await site.reports(change.number, 2)


async def test_a_worker_that_dies_is_replaced_without_a_word(site):
    site.jenkins.hold(JOB)
    change = site.upload()
    build = await site.jenkins.running(JOB)
    site.jenkins.cut(build)
    site.jenkins.release(JOB)
    await site.vote(change.number, +1)
    assert len(site.builds(change.number)) == 2
    assert len(site.ours(change.number)) == 1


def log(site: Site) -> str:
    return site.world.log.read_text(encoding="utf-8", errors="replace")
