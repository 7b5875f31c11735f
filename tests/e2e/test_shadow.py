"""A shadow beside a live system: it says what it would have done, and does none of it."""

from __future__ import annotations

import pytest
from e2e_site import JOB, when
from shadow_site import ShadowSite, make_site, world_in

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
