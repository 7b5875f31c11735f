"""However the service ends, it goes on where it stood: no queue is lost, and no vote is given twice."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE

import pytest
from e2e_site import EXAMPLES, JOB, Site, when

from ci_gate.sandbox.world import World

pytestmark = pytest.mark.e2e

ENDS = [signal.SIGKILL, signal.SIGTERM]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.thorough)])
async def site(request, tmp_path):
    """The service runs, with its journal in one database or the other."""
    settings = {}
    if request.param == "postgresql":
        settings["database", "dburi"] = request.getfixturevalue("postgresql").new_database()
    async with World(tmp_path, EXAMPLES, settings=settings) as world:
        site = Site(world)
        await site.start()
        yield site


def inside(site) -> list[tuple[str, str | None, int]]:
    """Every item with its ref and the time of its entry, in order."""
    queues = [queue for pipeline in site.status()["pipelines"] for queue in pipeline["change_queues"]]
    items = [item for queue in queues for head in queue["heads"] for item in head]
    return [(item["id"], item["zuul_ref"], item["enqueue_time"]) for item in items]


async def restart(site, how: signal.Signals) -> None:
    await site.world.stop_service(how)
    await site.world.start_service()


@pytest.mark.parametrize("how", ENDS)
async def test_items_keep_their_place_and_their_ref_and_are_reported_once(site, how):
    site.jenkins.hold(JOB)
    changes = [site.upload({f"file-{number}": "x\n"}) for number in range(3)]
    await when(lambda: len(inside(site)) == 3, "three items")
    await when(lambda: all(ref for _, ref, _ in inside(site)), "their refs")
    await when(lambda: all(site.builds(each.number) for each in changes), "their builds")
    before = inside(site)
    await restart(site, how)
    assert inside(site) == before
    site.jenkins.release(JOB)
    for each in changes:
        await site.vote(each.number, +1)
    await site.nothing_left()
    assert [len(site.ours(each.number)) for each in changes] == [1, 1, 1]
    refs = {each.parameters["ZUUL_REF"] for change in changes for each in site.builds(change.number)}
    assert refs == {f"refs/zuul/master/{ref}" for _, ref, _ in before}


async def test_a_vote_whose_answer_was_lost_with_the_service_is_not_given_again(site):
    site.gerrit.faults.stall("review", times=1)
    change = site.upload()
    await when(lambda: site.ours(change.number), "the review to be at Gerrit")
    await restart(site, signal.SIGKILL)
    await site.nothing_left()
    assert len(site.ours(change.number)) == 1
    assert site.vote_of(change.number) == +1


async def test_why_is_answered_after_a_restart_too(site):
    change = site.upload()
    await site.vote(change.number, +1)
    await site.nothing_left()
    await restart(site, signal.SIGTERM)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ci_gate", "explain", "-c", str(site.world.config), str(change.number)), stdout=PIPE
    )
    told, _ = await process.communicate()
    assert "reported: SUCCESS" in told.decode()


async def test_a_layout_that_changed_meanwhile_takes_over_at_the_start(site):
    site.jenkins.hold(JOB)
    site.jenkins.add_job("gate-more")
    change = site.upload()
    await site.jenkins.running(JOB)
    await site.world.stop_service(signal.SIGKILL)
    layout = site.world.folder / "layout.yaml"
    text = layout.read_text(encoding="utf-8")
    layout.write_text(text.replace(f"      - {JOB}\n", f"      - {JOB}\n      - gate-more\n"), encoding="utf-8")
    await site.world.start_service()
    site.jenkins.release(JOB)
    await site.vote(change.number, +1)
    (report,) = await site.reports(change.number, 1)
    assert "gate-more" in report


async def test_a_second_service_cannot_work_in_the_same_folder(site):
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ci_gate", "serve", "-c", str(site.world.config), stdout=PIPE, stderr=PIPE
    )
    _, told = await other.communicate()
    assert other.returncode == 1
    assert f"another ci-gate (process {site.world.pid}) works in" in told.decode()
