"""Nothing that happens while nobody listens is missed, and nothing is taken twice."""

from __future__ import annotations

import asyncio
import re
import signal
import sys

import pytest
from e2e_site import EXAMPLES, JOB, PROJECT, Site, when

from ci_gate.sandbox.world import World

pytestmark = pytest.mark.e2e

LAYOUT = f"""
pipelines:
  - name: check
    manager: IndependentPipelineManager
    trigger:
      gerrit:
        - event: patchset-created
        - {{event: comment-added, comment_filter: (?im)^\\s*recheck-VENDOR\\s*$}}
    success: {{gerrit: {{Verified: 1}}}}
    failure: {{gerrit: {{Verified: -1}}}}
  - name: merged
    manager: IndependentPipelineManager
    trigger: {{gerrit: [{{event: change-merged}}]}}
  - name: post
    manager: IndependentPipelineManager
    trigger: {{gerrit: [{{event: ref-updated, ref: ^refs/heads/master$}}]}}
projects:
  - name: {PROJECT}
    check: [{JOB}]
    merged: [announce]
    post: [publish]
"""


@pytest.fixture
async def site(tmp_path):
    async with World(tmp_path, EXAMPLES, layout=LAYOUT) as world:
        site = Site(world)
        for job in ("announce", "publish"):
            site.jenkins.add_job(job)
        await site.start()
        world.gerrit.create_account(
            "boss", votes={"Code-Review": (-2, 2), "Workflow": (-1, 1), "Verified": (-2, 2)}, may_submit=True
        )
        yield site


def builds_of(site: Site, job: str) -> list:
    return [each for each in site.jenkins.builds if each.job == job]


def merge(site: Site, number: int) -> None:
    site.gerrit.comment(number, by="boss", votes={"Code-Review": 2, "Workflow": 1, "Verified": 2})
    site.gerrit.submit(number, by="boss")


def caught_up(site: Site) -> dict:
    (found,) = site.status()["ci_gate"]["catch_ups"]
    return found


def found(site: Site) -> list[str]:
    """What the log says was found, without the project."""
    told = re.findall(r'missed="([^"]+)"', site.world.log.read_text())
    return [each.removesuffix(f" {PROJECT}") for each in told]


def our_vote_on(change) -> str:
    """A vote of the service comes back as an event, which may not have been there yet when the service ended."""
    return f"comment-added {change.number},1"


async def everything_found(site: Site, before: float = 0.0) -> None:
    await when(lambda: (caught_up(site)["at"] or 0) > before, "a look for missed events")
    await site.nothing_left()


@pytest.mark.parametrize("how", [pytest.param(signal.SIGTERM, marks=pytest.mark.thorough), signal.SIGKILL])
async def test_what_happens_while_the_service_is_down_is_found_at_its_start(site, how):
    rechecked, merged = site.upload({"a": "1\n"}), site.upload({"b": "1\n"})
    for each in (rechecked, merged):
        await site.vote(each.number, +1)
    await site.nothing_left()
    await site.world.stop_service(how)

    site.gerrit.comment(rechecked.number, by="dev", message="recheck-DEMO")
    fresh = site.upload({"c": "1\n"})
    merge(site, merged.number)

    await site.world.start_service()
    await site.vote(fresh.number, +1)
    await site.reports(rechecked.number, 2)
    await when(lambda: builds_of(site, "announce"), "the job of the merge")
    await when(lambda: builds_of(site, "publish"), "the job of the branch")
    await everything_found(site)
    assert [len(site.ours(each.number)) for each in (rechecked, fresh, merged)] == [2, 1, 1]
    assert [len(builds_of(site, job)) for job in ("announce", "publish")] == [1, 1]
    assert sorted(set(found(site)) - {our_vote_on(merged)}) == [
        f"change-merged {merged.number},1",
        f"comment-added {rechecked.number},1",
        f"patchset-created {fresh.number},1",
        "ref-updated refs/heads/master",
    ]


@pytest.mark.thorough
async def test_a_second_restart_finds_nothing_again(site):
    await site.world.stop_service()
    change = site.upload()
    await site.world.start_service()
    await site.vote(change.number, +1)
    for how in (signal.SIGKILL, signal.SIGTERM):
        await site.world.stop_service(how)
        await site.world.start_service()
        await everything_found(site)
    assert set(found(site)) <= {f"patchset-created {change.number},1", our_vote_on(change)}
    assert len(found(site)) == len(set(found(site)))
    assert len(site.ours(change.number)) == 1


async def test_what_happens_while_the_stream_is_cut_is_found_when_it_is_back(site):
    change = site.upload()
    await site.vote(change.number, +1)
    site.gerrit.stop()
    site.gerrit.comment(change.number, by="dev", message="recheck-DEMO")
    other = site.upload({"other": "x\n"})
    site.gerrit.start()
    await site.vote(other.number, +1)
    await site.reports(change.number, 2)
    await everything_found(site)
    assert len(site.builds(change.number)) == 2
    assert len(site.builds(other.number)) == 1


async def test_dropped_output_is_looked_for(site):
    await everything_found(site)
    before = caught_up(site)["at"]
    site.gerrit.send_dropped_output()
    await when(lambda: caught_up(site)["at"] > before, "another look")


async def test_what_was_found_is_told_by_explain(site):
    await site.world.stop_service()
    change = site.upload()
    await site.world.start_service()
    await site.vote(change.number, +1)
    answer = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ci_gate", "explain", "-c", str(site.world.config), f"{change.number},1"),
        stdout=asyncio.subprocess.PIPE,
    )
    told, _ = await answer.communicate()
    assert "patchset-created was missed by the event stream" in told.decode()
