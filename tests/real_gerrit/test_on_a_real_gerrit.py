"""The whole service on a real Gerrit: what operators rely on, seen from outside."""

from __future__ import annotations

import asyncio
import secrets

import pytest
from gerrit_people import CORE, PROJECTS

from ci_gate.sandbox.tcp_proxy import Cut

pytestmark = [pytest.mark.real_gerrit, pytest.mark.timeout(180)]

ALPHA, BETA = PROJECTS


def new_file() -> dict[str, str]:
    """Of a name that no other change has."""
    return {f"file-{secrets.token_hex(6)}": "x\n"}


async def test_a_patch_set_gets_a_vote_and_a_recheck_another_report(site, review):
    number = review.upload(ALPHA, new_file())
    await site.vote(number, +1)
    assert len(review.ours(number)) == 1
    review.comment(number, "recheck-DEMO")
    await site.when(lambda: len(review.ours(number)) == 2, "the second report")
    assert len(site.builds(number)) == 2
    review.comment(number, "recheck-OTHER")
    review.upload(ALPHA, {"broken": "x\n"}, amend=number)
    await site.vote(number, -1)
    assert len(site.builds(number)) == 3, "a recheck of others starts nothing"


async def test_a_gate_merges_in_order_across_projects_and_leaves_the_failing_one_out(site, review):
    first = review.upload(ALPHA, new_file(), "First")
    middle = review.upload(BETA, {"broken": "x\n"}, "Middle")
    needs = f"Depends-On: {review.change_id(first)}"
    last = review.upload(BETA, new_file(), f"Last\n\n{needs}")
    for number, value in ((first, +1), (middle, -1), (last, +1)):
        await site.vote(number, value)
    site.jenkins.hold("unit")
    for number in (first, middle, last):
        review.approve(number)
        await site.when(lambda number=number: len(site.builds(number)) == 2, f"the gate's build of {number}")
    changes = site.builds(last)[-1].parameters["ZUUL_CHANGE_IDS"].split()
    assert changes == [f"{each},1" for each in (first, middle, last)]
    site.jenkins.release("unit")
    await site.merged(first, last)
    assert review.vote(middle) == -2
    assert review.status(middle) == "NEW"
    again = site.builds(last)[-1].parameters["ZUUL_CHANGE_IDS"].split()
    assert again == [f"{first},1", f"{last},1"]
    submitted = {each: review.details(each)["submitted"] for each in (first, last)}
    assert submitted[first] <= submitted[last]
    review.act(middle, "abandon", by=CORE)
    await site.idle()


async def test_work_in_progress_is_tested_when_it_is_ready(site, review):
    number = review.upload(ALPHA, new_file(), options="%wip")
    other = review.upload(ALPHA, new_file())
    await site.vote(other, +1)
    assert not site.builds(number)
    review.act(number, "ready")
    await site.vote(number, +1)


async def test_a_private_change_is_tested_once_the_ci_may_see_it(site, review):
    number = review.upload(ALPHA, new_file(), options="%private")
    other = review.upload(ALPHA, new_file())
    await site.vote(other, +1)
    assert not site.builds(number)
    review.server.rest("POST", f"changes/{number}/reviewers", {"reviewer": "ci"}, by=("dev", "dev-secret"))
    review.upload(ALPHA, new_file(), amend=number)
    await site.when(lambda: site.builds(number), "a build of the private change")
    await site.idle()


async def test_a_branch_that_moves_starts_post_jobs_once(site, review):
    tip = review.push(ALPHA, new_file())

    def posted() -> list:
        return [each for each in site.jenkins.builds if each.parameters.get("ZUUL_NEWREV") == tip]

    await site.when(posted, "a post job")
    await site.idle()
    (build,) = posted()
    assert build.parameters["ZUUL_REFNAME"] == "refs/heads/master"


CUTS = [
    Cut(from_client=True, packet=1),
    Cut(from_client=True, packet=2),
    Cut(from_client=True, packet=2, within=40),
    Cut(from_client=False, packet=1),
    Cut(from_client=False, packet=2),
    Cut(from_client=False, packet=3),
    Cut(from_client=False, packet=4, within=10),
]


@pytest.mark.parametrize(
    "cut", CUTS, ids=lambda cut: f"{'client' if cut.from_client else 'server'}-{cut.packet}-{cut.within}"
)
async def test_a_vote_arrives_once_wherever_the_connection_breaks(site, review, cut):
    site.jenkins.hold("unit")
    number = review.upload(ALPHA, new_file())
    await site.jenkins.running("unit")
    await asyncio.sleep(0.5)  # what the service still asks about the change is over; the next packets are the review
    site.proxy.plan(cut)
    site.jenkins.release("unit")
    async with asyncio.timeout(30):
        await site.proxy.cut_done.wait()
    await site.vote(number, +1)
    await site.when(site.is_listening, "the stream to be open again")
    await site.idle()
    assert len(review.ours(number)) == 1


async def test_the_hundredth_patch_set_is_the_one_that_counts(site, review):
    number = review.upload(ALPHA, new_file())
    await site.vote(number, +1)
    for patch_set in range(2, 101):
        await asyncio.to_thread(review.edit, number, "many", f"{patch_set}\n")
    await site.idle()
    await site.vote(number, +1)
    assert site.builds(number)[-1].parameters["ZUUL_PATCHSET"] == "100"


async def test_what_happens_while_the_connection_is_cut_is_found(site, review):
    number, merged = review.upload(ALPHA, new_file()), review.upload(ALPHA, new_file())
    for each in (number, merged):
        await site.vote(each, +1)
    site.proxy.closed = True
    site.proxy.cut_all()
    review.comment(number, "recheck-DEMO")
    fresh = review.upload(BETA, new_file())
    tip = review.push(ALPHA, new_file())
    site.proxy.closed = False
    await site.vote(fresh, +1)
    await site.when(lambda: len(review.ours(number)) == 2, "the report on the recheck")

    def posted() -> list:
        return [each for each in site.jenkins.builds if each.parameters.get("ZUUL_NEWREV") == tip]

    await site.when(posted, "the post job")
    await site.idle()
    assert [len(site.builds(each)) for each in (number, merged, fresh)] == [2, 1, 1]
    assert len(posted()) == 1
    assert len(review.ours(fresh)) == 1


async def test_a_recheck_by_the_web_page_is_found_as_well(site, review):
    """The page keeps the text apart from the message, and the stream puts it back."""
    number, other = review.upload(ALPHA, new_file()), review.upload(ALPHA, new_file())
    for each in (number, other):
        await site.vote(each, +1)
    review.comment_by_page(other, "recheck-DEMO")
    await site.when(lambda: len(review.ours(other)) == 2, "the report on the recheck")
    site.proxy.closed = True
    site.proxy.cut_all()
    review.comment_by_page(number, "recheck-DEMO")
    site.proxy.closed = False
    await site.when(lambda: len(review.ours(number)) == 2, "the report on the missed recheck")
    await site.idle()
    assert len(site.builds(other)) == 2, "what the stream told is not found again"
