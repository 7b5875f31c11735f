"""A shadow beside a live system: it says what it would have done, and does none of it."""

from __future__ import annotations

import signal

import pytest
from e2e_site import JOB, when
from shadow_site import LAYOUT, ShadowSite, make_site, world_in

from ci_gate.sandbox.world import CI_ACCOUNT

pytestmark = pytest.mark.e2e

READS = ("gerrit query", "gerrit stream-events", "gerrit version", "git-upload-pack")


@pytest.fixture
async def beside(tmp_path):
    """The live system runs, the shadow does not yet."""
    async with world_in(tmp_path) as world:
        site = await make_site(world)
        try:
            yield site
        finally:
            await site.stop_shadow()
            site.close()


def approve(site: ShadowSite, change) -> None:
    site.gerrit.comment(change.number, by="boss", votes={"Code-Review": 2, "Workflow": 1})


async def merged(site: ShadowSite, *changes) -> None:
    for each in changes:
        await when(lambda each=each: site.gerrit.change(each.number).status == "MERGED", f"{each.number} to be merged")


async def test_a_shadow_with_the_same_layout_finds_no_difference_and_touches_nothing(beside):
    await beside.prepare_shadow()
    await beside.start_shadow()
    good = beside.upload({"a": "1\n"})
    await beside.vote(good.number, 1)
    beside.jenkins.add_job(JOB, "test ! -e broken")
    bad = beside.upload({"broken": "x\n"})
    await beside.vote(bad.number, -1)
    second = beside.upload({"b": "1\n"})
    await beside.vote(second.number, 1)
    approve(beside, good)
    approve(beside, second)
    await merged(beside, good, second)

    status, found = await beside.compared(5)
    assert (status, found["equal"], found["differences"]) == (0, 5, [])
    commands = beside.commands_of_the_shadow()
    assert commands
    assert [each for each in commands if not each.startswith(READS)] == []
    assert len(beside.builds(good.number)) == 2, "one in check, one in gate, both of the live system"
    assert "This is a shadow" in beside.shadow_status()["message"]
    assert beside.calls_at_the_job_server == 0


OTHER = LAYOUT.replace(", {event: comment-added, comment: (?im)^recheck$}", "").replace("Verified: 2", "Verified: 1")
OTHER = OTHER.replace(f"check: [{JOB}]", f"check: [{JOB}, docs]")


async def test_the_report_lists_precisely_what_another_layout_would_change(beside):
    await beside.prepare_shadow(OTHER)
    await beside.start_shadow()
    change = beside.upload()
    await beside.vote(change.number, 1)
    await beside.compared(1, differences=1)
    beside.gerrit.comment(change.number, by="dev", message="recheck")
    await beside.reports(change.number, 2)
    await beside.compared(1, differences=2)
    approve(beside, change)
    await merged(beside, change)
    status, found = await beside.compared(2, differences=3)

    assert status == 1
    jobs, only_live, votes = found["differences"]
    assert (jobs["kind"], jobs["pipeline"], jobs["details"]) == ("other jobs", "check", ["only the shadow runs docs"])
    assert (only_live["kind"], only_live["pipeline"]) == ("only the live system reported", "check")
    assert "the event comment-added is not among patchset-created" in only_live["reasons"]
    assert (votes["kind"], votes["pipeline"]) == ("other votes", "gate")
    assert votes["details"] == ["verified: live +2, shadow +1"]


async def test_a_shadow_that_logs_in_as_the_live_system_takes_it_for_the_live_one_and_is_silent(beside):
    await beside.prepare_shadow(account=CI_ACCOUNT)
    await beside.start_shadow()
    change = beside.upload()
    await beside.vote(change.number, 1)
    assert (await beside.compared(1))[0] == 0
    assert len(beside.ours(change.number)) == 1
    reviews = [each.line for each in beside.gerrit.received if each.line.startswith("gerrit review")]
    assert len(reviews) == 1, "the live system's"


async def test_a_gate_that_leaves_one_out_is_followed_to_the_end(beside):
    await beside.prepare_shadow()
    await beside.start_shadow()
    beside.jenkins.add_job(JOB, "test ! -e broken")
    changes = first, middle, last = [beside.upload({name: "1\n"}) for name in ("a", "broken", "c")]
    for each, vote in zip(changes, (1, -1, 1), strict=True):
        await beside.vote(each.number, vote)
    beside.jenkins.hold(JOB)
    for each in changes:
        approve(beside, each)
    await when(lambda: all(len(beside.builds(each.number)) == 2 for each in changes), "builds in check and gate")
    beside.jenkins.release(JOB)
    await merged(beside, first, last)
    await beside.vote(middle.number, -2)
    status, found = await beside.compared(6)
    assert (status, found["equal"]) == (0, 6)
    await when(lambda: beside.shadow_items() == [], "an empty shadow")


@pytest.mark.parametrize("by", [pytest.param(signal.SIGTERM, marks=pytest.mark.thorough), signal.SIGKILL])
async def test_a_restart_keeps_the_record_and_finds_what_the_live_system_said_meanwhile(beside, by):
    await beside.prepare_shadow()
    await beside.start_shadow()
    first = beside.upload({"a": "1\n"})
    await beside.vote(first.number, 1)
    await beside.compared(1)
    beside.jenkins.hold(JOB)
    second = beside.upload({"b": "1\n"})
    await beside.jenkins.running(JOB)
    await when(lambda: beside.shadow_items() == [f"{second.number},1"], "the second change in the shadow")
    await beside.stop_shadow(by)
    beside.jenkins.release(JOB)
    await beside.vote(second.number, 1)
    await beside.start_shadow()
    status, found = await beside.compared(2)
    assert (status, found["equal"]) == (0, 2)
    assert [each for each in beside.commands_of_the_shadow() if not each.startswith(READS)] == []
