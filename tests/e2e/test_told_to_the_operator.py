"""What only an operator can mend is on the status page in Gerrit's words; and what Gerrit is spared."""

from __future__ import annotations

import pytest
from e2e_site import EXAMPLES, JOB, PROJECT, Site, when

from ci_gate.sandbox.world import World

pytestmark = pytest.mark.e2e

LAYOUT = f"""
pipelines:
  - name: check
    manager: IndependentPipelineManager
    trigger: {{gerrit: [{{event: patchset-created}}]}}
    success: {{gerrit: {{Verified: 1, Fancy-Label: 1}}}}
    failure: {{gerrit: {{Verified: -1}}}}
projects:
  - name: {PROJECT}
    check: [{JOB}]
"""


@pytest.fixture
async def site(tmp_path):
    async with World(tmp_path, EXAMPLES, layout=LAYOUT) as world:
        site = Site(world)
        await site.start()
        yield site


def problems(site: Site) -> list[str]:
    return [each["text"] for each in site.status()["ci_gate"]["problems"]]


async def told(site: Site, words: str) -> str:
    return await when(lambda: next((each for each in problems(site) if words in each), None), words)


async def test_a_label_that_gerrit_does_not_have_is_told_once(site):
    for number in range(2):
        change = site.upload({f"file-{number}": "x\n"})
        await site.vote(change.number, +1)
    text = await told(site, "no label Fancy-Label")
    await site.nothing_left()
    assert text.startswith(f"project {PROJECT} ")
    assert sum("Fancy-Label" in each for each in problems(site)) == 1


async def test_a_report_that_is_refused_for_good_is_told_in_gerrits_words(site):
    site.gerrit.faults.fail("review", "error: the moon is in the wrong quarter")
    change = site.upload()
    text = await told(site, "the moon is in the wrong quarter")
    assert "could not be delivered" in text
    (undelivered,) = site.status()["ci_gate"]["undelivered_reports"]
    assert "the moon is in the wrong quarter" in undelivered["text"]
    assert undelivered["next_try_at"] is None
    assert site.ours(change.number) == []


async def test_a_vote_that_is_refused_leaves_the_message_and_is_told(site):
    site.gerrit.faults.fail("review", 'error: Applying label "Verified": 1 is restricted')
    change = site.upload()
    await site.reports(change.number, 1)
    text = await told(site, "is restricted")
    assert text.startswith(f"review of {change.number},1: ")
    assert site.vote_of(change.number) is None


async def test_a_burst_of_comments_is_a_few_queries(site):
    changes = [site.upload({f"file-{number}": "x\n"}) for number in range(5)]
    for each in changes:
        await site.vote(each.number, +1)
    await site.nothing_left()
    before = len(site.gerrit.received)
    for _ in range(40):
        for each in changes:
            site.gerrit.comment(each.number, by="dev", message="thinking aloud")
    last = site.upload({"last": "x\n"})
    await site.vote(last.number, +1)
    await site.nothing_left()
    asked = [each.line for each in site.gerrit.received[before:] if "gerrit query" in each.line]
    assert len(asked) < 50, "200 comments on 5 changes"
