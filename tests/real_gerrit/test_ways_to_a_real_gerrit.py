"""A real Gerrit over SSH and over REST: the same answers, the same decisions, and every report once."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import paramiko
import pytest
from gerrit_people import CI, CORE, DEV, PROJECTS

from ci_gate.config.settings import GerritSettings
from ci_gate.gerrit import requirements
from ci_gate.gerrit.missed import events_of
from ci_gate.gerrit.rest_access import RestAccess
from ci_gate.gerrit.ssh_access import SshAccess
from ci_gate.model.change import ChangeDetails
from ci_gate.model.report import DeliveryOutcome
from ci_gate.model.report import Review as Report
from ci_gate.sandbox.tcp_proxy import Cut, tcp_proxy
from ci_gate.scheduler.requirements import passes

pytestmark = [pytest.mark.real_gerrit, pytest.mark.timeout(180)]

ALPHA, BETA = PROJECTS
PASSWORD = f"{CI}-secret"
SECRET = "a-secret-of-the-webhooks"
NOWHERE = "http://127.0.0.1:1"
OURS = frozenset({"verified"})


def reports(review, number: int) -> list[str]:
    """Without what Gerrit says in our name when it merges."""
    return [each for each in review.ours(number) if "Build succeeded" in each]


def new_file() -> dict[str, str]:
    return {f"file-{secrets.token_hex(6)}": "x\n"}


@pytest.fixture
async def ways(review, tmp_path) -> AsyncIterator[tuple[SshAccess, RestAccess]]:
    settings = GerritSettings(
        "gerrit",
        "127.0.0.1",
        CI,
        review.server.ssh,
        review.key,
        f"http://127.0.0.1:{review.server.http}",
        accepted_hosts=tmp_path / "accepted",
        known_hosts=tmp_path / "known",
    )
    by_ssh, by_rest = SshAccess(settings), RestAccess(replace(settings, password=PASSWORD))
    yield by_ssh, by_rest
    await by_ssh.close()
    await by_rest.close()


# --- the same answers ---


async def test_both_ways_tell_the_same_of_changes(review, ways):
    changes = await asyncio.to_thread(_all_sorts_of_changes, review)
    by_ssh, by_rest = ways
    for name, number in changes.items():
        for readiness in (False, name != "private"):  # which the public does not see
            answers = [await each.query_change(str(number), readiness=readiness) for each in ways]
            one, other = (_comparable(each) for each in answers)
            assert one == other, name
    found = {name: await by_rest.query_change(str(number)) for name, number in changes.items()}
    assert [each.number for each in found["child"].depends_on] == [str(changes["parent"])]
    assert [each.is_current for each in found["child"].depends_on] == [False]
    assert [each.number for each in found["child"].needed_by] == [str(changes["grandchild"])]
    assert {"/COMMIT_MSG", "/MERGE_LIST"} <= set(found["merge"].patch_sets[-1].files)
    assert len(found["merge"].depends_on) == 2
    assert found["wip"].wip
    assert found["private"].private
    assert await by_rest.query_change("999999") is await by_ssh.query_change("999999") is None
    for project in PROJECTS:
        assert await by_rest.list_refs(project) == await by_ssh.list_refs(project)
    missed = [{row["number"]: _told(row, way) async for row in way.updated_changes(PROJECTS, 3600)} for way in ways]
    assert missed[0] == missed[1]
    assert any("by page" in str(each) for each in missed[1][changes["grandchild"]])


def _all_sorts_of_changes(review) -> dict[str, int]:
    found = {"parent": review.upload(ALPHA, new_file(), "Parent")}
    clone = review.folder / f"clone-{review._clones}"

    def on_top(message: str, *command: str) -> int:
        change_id = "I" + os.urandom(20).hex()
        review._git(clone, *command, "-m", f"{message}\n\nDepends: ä\n\nChange-Id: {change_id}")
        review._git(clone, "push", "-q", "origin", "HEAD:refs/for/master%topic=some,hashtag=tag")
        return review.number_of(ALPHA, change_id)

    for name in ("child", "grandchild"):
        (clone / f"{name} ä").write_text(secrets.token_hex(6))
        review._git(clone, "add", "-A")
        found[name] = on_top(name, "commit", "-q")
    other = review.upload(ALPHA, new_file(), "Other")
    (revision,) = review.details(other, "CURRENT_REVISION")["revisions"].values()
    review._git(clone, "fetch", "-q", "origin", revision["ref"])
    found["merge"] = on_top("Merge", "merge", "-q", "--no-ff", "FETCH_HEAD")
    review.upload(ALPHA, {next(iter(new_file())): "more\n"}, amend=found["parent"])
    review.comment(found["child"], by=CORE, votes={"Code-Review": -1})
    review.comment(found["child"], "never mind", by=CORE, votes={"Code-Review": 0})
    review.approve(found["grandchild"])
    review.comment_by_page(found["grandchild"], "recheck by page")
    found["wip"] = review.upload(BETA, new_file(), options="%wip")
    found["private"] = review.upload(BETA, new_file(), options="%private")
    review.server.rest("POST", f"changes/{found['private']}/reviewers", {"reviewer": CI}, by=DEV)
    found["abandoned"] = review.upload(BETA, new_file())
    review.act(found["abandoned"], "abandon")
    found["merged"] = review.upload(BETA, new_file())
    review.comment(found["merged"], by=(CI, PASSWORD), votes={"Verified": 2})
    review.approve(found["merged"])
    review.server.rest("POST", f"changes/{found['merged']}/submit", {}, by=(CI, PASSWORD))
    return found


def _comparable(found: ChangeDetails) -> ChangeDetails:
    """The order of votes and neighbours does not count; nor do submit records of what is closed already."""
    return replace(
        found,
        votes=tuple(sorted(found.votes, key=repr)),
        depends_on=() if not found.is_open else tuple(sorted(found.depends_on, key=repr)),
        needed_by=tuple(sorted(found.needed_by, key=repr)),
        submit_records=found.submit_records if found.is_open else (),
    )


def _told(row, way) -> list:
    """Votes on a patch set that is not the current one REST shows in messages alone."""
    current = str(row["currentPatchSet"]["number"])
    events = [each for each in events_of(row, 0, way.settings) if each.patchset == current]
    return [replace(each, votes=tuple(sorted(each.votes, key=repr))) for each in events]


# --- ready or not, in three ways (gerrit-wire.md 4.6) ---


@pytest.fixture
def records_tell(review) -> None:
    """As on servers before 3.5: 3.10's own Code-Review still shows in its submit records, 3.13's does not."""
    if not review.server.version.startswith("3.10"):
        pytest.skip("this Gerrit's submit records say nothing of Code-Review")


@pytest.fixture
def records_do_not_tell(review) -> None:
    if review.server.version.startswith("3.10"):
        pytest.skip("this Gerrit's submit records tell of Code-Review")


async def test_a_change_without_code_review_does_not_enter_a_gate_that_the_public_can_read(site, review):
    await _kept_out_until_it_has_code_review(site, review)


@pytest.mark.parametrize("site", [{("gerrit", "baseurl"): NOWHERE}], indirect=True)
async def test_nor_one_whose_submit_records_tell_that_over_ssh(records_tell, site, review):
    await _kept_out_until_it_has_code_review(site, review)


async def _kept_out_until_it_has_code_review(site, review) -> None:
    lacking, whole = review.upload(ALPHA, new_file()), review.upload(ALPHA, new_file())
    for number in (lacking, whole):
        await site.vote(number, +1)
    review.approve(lacking, code_review=False)
    review.approve(whole)
    await site.merged(whole)
    assert len(site.builds(lacking)) == 1
    assert review.vote(lacking) == 1
    review.approve(lacking)
    await site.merged(lacking)
    for number in (lacking, whole):
        assert len(site.builds(number)) == len(reports(review, number)) == 2


@pytest.mark.parametrize("site", [{("gerrit", "baseurl"): NOWHERE}], indirect=True)
async def test_with_ssh_alone_gerrits_refusal_is_told_to_the_change(records_do_not_tell, site, review):
    number = review.upload(ALPHA, new_file())
    await site.vote(number, +1)
    review.approve(number, code_review=False)
    await site.when(lambda: "this change was not merged" in review.ours(number)[-1], "Gerrit's refusal")
    assert "Code-Review" in review.ours(number)[-1]
    assert len(site.builds(number)) == 2
    assert review.status(number) == "NEW"


async def test_requirements_are_the_same_with_and_without_a_login(review, ways):
    number = str(review.upload(ALPHA, new_file()))
    public = requirements.PublicRequirements(ways[0].settings)
    shown = (await public.of([number]))[number].requirements
    await public.close()
    found = await ways[1].query_change(number, readiness=True)
    assert found.submit_requirements == shown
    assert {each.name for each in shown if not passes(each, OURS)} == {"Code-Review", "Workflow"}


# --- reports ---


def report(number: int, text: str, **more) -> Report:
    return Report("gerrit", ALPHA, str(number), "1", text, (("Verified", 2),), **more)


async def test_a_review_by_rest_is_what_a_review_by_ssh_is(review, ways):
    numbers = [review.upload(ALPHA, new_file()) for _ in ways]
    text = 'Build "succeeded" & more.\n\n- job http://x/\\n : SUCCESS\n\n* ä <b>'
    shown = []
    for way, number in zip(ways, numbers, strict=True):
        options = (("tag", "autogenerated:ci"), ("notify", "NONE"))
        delivered = await way.post_review(replace(report(number, text), labels=(("verified", 1),), options=options))
        assert delivered.outcome is DeliveryOutcome.DELIVERED
        refused = await way.post_review(replace(report(number, "too much"), labels=(("Workflow", 1),)))
        assert "restricted" in refused.text
        failed = await way.post_review(report(number, "and submit", flags=("submit",)))
        assert failed.outcome is DeliveryOutcome.REFUSED
        found = review.server.rest("GET", f"changes/{number}/detail")["messages"]
        shown.append([(each["message"], each.get("tag")) for each in found])
    assert shown[0] == shown[1]
    assert review.vote(numbers[1]) == 2


CUTS = [
    Cut(from_client=True, packet=1, within=40),
    Cut(from_client=False, packet=1),
    Cut(from_client=True, packet=2),
    Cut(from_client=False, packet=2),
]


@pytest.mark.parametrize("cut", CUTS, ids=repr)
async def test_a_report_by_rest_arrives_once_wherever_the_connection_breaks(review, ways, cut):
    number = review.upload(ALPHA, new_file())
    review.approve(number)
    async with tcp_proxy(review.server.http) as proxy:
        access = RestAccess(replace(ways[1].settings, baseurl=f"http://127.0.0.1:{proxy.port}"))
        assert await access.query_change(str(number)) is not None  # the connection is kept
        proxy.plan(cut)
        began, tries = time.time(), 0
        submit = report(number, "Build succeeded.", flags=("submit",))
        delivery = await access.post_review(submit)
        while delivery.outcome is DeliveryOutcome.UNREACHABLE and tries < 5:
            tries += 1
            delivery = await access.post_review(submit, first_tried_at=began)
        assert delivery.outcome is DeliveryOutcome.DELIVERED
        assert proxy.cut_done.is_set()
        await access.close()
    assert review.status(number) == "MERGED"
    assert len(reports(review, number)) == 1


# --- a site that allows HTTP alone ---


@asynccontextmanager
async def posted_events(review, url: str):
    """What the webhooks plugin does: each event of the stream becomes a post, here always sent twice."""
    client = paramiko.Transport(("127.0.0.1", review.server.ssh))
    await asyncio.to_thread(client.connect, username=CI, pkey=paramiko.ECDSAKey.from_private_key_file(str(review.key)))
    channel = client.open_session()
    channel.exec_command("gerrit stream-events")
    posts: list[int] = []

    async def relay() -> None:
        async with aiohttp.ClientSession() as session:
            lines = channel.makefile("rb")
            while line := await asyncio.to_thread(lines.readline):
                for _ in range(2):  # as it does when an answer was lost
                    async with session.post(url, data=line, params={"token": SECRET}) as answer:
                        posts.append(answer.status)

    relaying = asyncio.create_task(relay())
    try:
        yield posts
    finally:
        channel.close()
        client.close()
        await relaying


HTTP_ALONE = {
    ("gerrit", "password"): PASSWORD,
    ("gerrit", "port"): "1",
    ("gerrit", "sshkey"): str(Path("/nowhere")),
    ("gerrit", "stream"): "webhooks",
    ("gerrit", "webhook_secret"): SECRET,
    ("gerrit", "reconcile_interval"): "1",
}


@pytest.mark.parametrize("site", [HTTP_ALONE], indirect=True)
async def test_a_site_that_allows_http_alone_is_tested_and_merged(site, review):
    async with posted_events(review, f"{site.world.url}hooks/gerrit") as posts:
        number = review.upload(ALPHA, new_file())
        await site.vote(number, +1)
        review.approve(number)
        await site.merged(number)
        await site.idle()
        assert len(site.builds(number)) == len(reports(review, number)) == 2
        assert set(posts) == {204}
    unheard = review.upload(BETA, new_file())
    await site.vote(unheard, +1)
    assert PASSWORD not in site.world.log.read_text()
    assert SECRET not in site.world.log.read_text()
