"""The doctor at Gerrit's web address: password, clock and rights, as a small double of its REST API answers them."""

from __future__ import annotations

import pytest
from doctor_parts import GATING, LAYOUT, assert_good, assert_wrong
from web_gerrit import PASSWORD

from ci_gate.doctor.check import Mark


async def test_without_a_password_address_and_clock_are_good_and_nothing_secret_is_sent(site, web_gerrit):
    found = await site.look()
    assert_good(found["Gerrit/web address"])
    assert_good(found["Gerrit/clock"])
    assert set(web_gerrit.authorizations) == {None}


@pytest.mark.parametrize(("skew_s", "words"), [(100, "ahead of"), (-100, "behind")])
async def test_a_clock_that_is_wrong_is_told_by_how_much(site, web_gerrit, skew_s, words):
    web_gerrit.skew_s = skew_s
    assert_wrong((await site.look())["Gerrit/clock"], words, "NTP")


async def test_votes_that_the_account_may_give_are_good(site, web_gerrit):
    found = await site.look(gerrit={"password": PASSWORD})
    assert_good(found["Gerrit/HTTP password"], "ci is let in", "3.13.0")
    assert_good(found["Gerrit/votes"], "1 project")


async def test_a_vote_that_the_account_may_not_give_is_wrong(site, web_gerrit):
    site.write_layout(LAYOUT.replace("Verified: 1", "Verified: 2"))
    finding = (await site.look(gerrit={"password": PASSWORD}))["Gerrit/votes"]
    assert_wrong(finding, "demo/app: verified +2", "Label …")
    web_gerrit.permitted = {"Code-Review": ["+1"]}
    assert_wrong((await site.look())["Gerrit/votes"], "verified -1 +2")


async def test_a_label_that_there_is_not_is_said_to_be_none(site, web_gerrit):
    site.write_layout(LAYOUT.replace("Verified", "Verifeid"))
    assert_wrong((await site.look(gerrit={"password": PASSWORD}))["Gerrit/votes"], "(there is no such label)")


async def test_a_project_without_an_open_change_is_not_called_good(site, web_gerrit):
    web_gerrit.permitted = None
    finding = (await site.look(gerrit={"password": PASSWORD}))["Gerrit/votes"]
    assert finding.mark is Mark.UNKNOWN
    assert finding.items == ("demo/app",)


async def test_the_votes_that_count_are_those_of_the_account_that_has_the_password(site, web_gerrit):
    web_gerrit.user = "somebody"
    site.write_layout(LAYOUT.replace("Verified: 1", "Verified: 2"))
    finding = (await site.look(gerrit={"password": PASSWORD, "http_user": "somebody"}))["Gerrit/votes"]
    assert_wrong(finding, "somebody may not vote", "verified +2")


async def test_a_wrong_password_is_told_once_tried_once_and_not_shown(site, web_gerrit):
    found = await site.look(gerrit={"password": "mistyped"})
    assert_good(found["Gerrit/web address"])
    assert_wrong(found["Gerrit/HTTP password"], "password of ci is not accepted", "make a new one", "[gerrit] password")
    assert found["Gerrit/clock"].mark is Mark.NOT_TRIED
    assert found["Gerrit/votes"].mark is Mark.UNKNOWN
    assert not [each for each in found.values() if "mistyped" in each.text + each.fix]
    assert len([each for each in web_gerrit.authorizations if each]) == 1


async def test_a_password_with_which_queries_are_refused_is_wrong(site, web_gerrit):
    web_gerrit.refused = {"/changes/"}
    assert_wrong((await site.look(gerrit={"password": PASSWORD}))["Gerrit/HTTP password"], "403", "Query Limit")


async def test_an_address_that_is_not_gerrits_cannot_be_told_without_a_password_and_is_wrong_with_one(site):
    assert (await site.look())["Gerrit/web address"].mark is Mark.UNKNOWN
    found = await site.look(gerrit={"password": PASSWORD})
    assert_wrong(found["Gerrit/web address"], "cannot reach", "baseurl")
    assert found["Gerrit/HTTP password"].mark is Mark.NOT_TRIED


# --- submit requirements ---


async def test_whether_requirements_are_seen_is_asked_only_where_something_wants_to_know(site, web_gerrit):
    assert "Gerrit/requirements" not in await site.look()
    site.write_layout(GATING)
    assert_good((await site.look())["Gerrit/requirements"], "without a login")
    web_gerrit.public = False
    assert_good((await site.look(gerrit={"password": PASSWORD}))["Gerrit/requirements"], "as ci")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ({"public": False}, "no open change"),
        ({"requirements": None}, "shows no submit requirements without a login"),
        ({"refused": {"/changes/"}}, "cannot be seen without a login"),
    ],
    ids=["nothing public", "not shown", "refused"],
)
async def test_requirements_that_are_not_public_cannot_be_told_with_ssh_alone(site, web_gerrit, spoil, words):
    site.write_layout(GATING)
    for name, value in spoil.items():
        setattr(web_gerrit, name, value)
    finding = (await site.look())["Gerrit/requirements"]
    assert finding.mark is Mark.UNKNOWN
    assert words in finding.text
    assert "set baseurl and password, or give gates require: {approval: …}" in finding.fix


async def test_a_gerrit_without_submit_requirements_needs_none(bare_site, web_gerrit):
    web_gerrit.version = "3.4.8"
    bare_site.write_layout(GATING)
    values = {"password": PASSWORD, "stream": "webhooks", "webhook_secret": "0123456789abcdef"}
    assert_good((await bare_site.look(gerrit=values))["Gerrit/requirements"], "submit records", "3.4.8")
