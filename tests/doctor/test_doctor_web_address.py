"""The doctor at Gerrit's web address: password, clock and rights, as a small double of its REST API answers them."""

from __future__ import annotations

import base64
import json
import time
from email.utils import formatdate

import pytest
from aiohttp import web
from doctor_parts import HOST, LAYOUT, assert_good, assert_wrong

from ci_gate.doctor.check import Mark

PASSWORD = "secret"


class WebGerrit:
    """``permitted`` are the votes that the account may give on the one open change of each project."""

    def __init__(self) -> None:
        self.permitted: dict[str, list[str]] | None = {"Verified": ["-1", " 0", "+1"]}
        self.skew_s = 0.0
        self.authorizations: list[str | None] = []

    async def start(self) -> str:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, 0).start()
        return f"http://{HOST}:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.authorizations.append(request.headers.get("Authorization"))
        expected = "Basic " + base64.b64encode(f"ci:{PASSWORD}".encode()).decode()
        if request.path.startswith("/a/") and self.authorizations[-1] != expected:
            return web.Response(status=401, text="Unauthorized")
        value: object = "3.13.0"
        if request.path == "/a/changes/":
            change = {"permitted_labels": self.permitted, "labels": {"Verified": {}, "Code-Review": {}}}
            value = [] if self.permitted is None else [change]
        headers = {"Date": formatdate(time.time() + self.skew_s, usegmt=True)}
        return web.Response(text=f")]}}'\n{json.dumps(value)}", headers=headers)


@pytest.fixture
async def web_gerrit(site):
    made = WebGerrit()
    site.values["gerrit"]["baseurl"] = await made.start()
    yield made
    await made.stop()


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
    assert_good(found["Gerrit/web address"], "password of ci is accepted")
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


async def test_the_rights_of_another_http_account_prove_nothing(site, web_gerrit):
    finding = (await site.look(gerrit={"password": PASSWORD, "http_user": "somebody"}))["Gerrit/votes"]
    assert finding.mark is Mark.UNKNOWN


async def test_a_wrong_password_is_told_once_and_not_shown(site, web_gerrit):
    found = await site.look(gerrit={"password": "mistyped"})
    assert_wrong(found["Gerrit/web address"], "password of ci is not accepted")
    assert found["Gerrit/votes"].mark is Mark.UNKNOWN
    assert not [each for each in found.values() if "mistyped" in each.text + each.fix]


async def test_an_address_that_is_not_gerrits_cannot_be_told_without_a_password_and_is_wrong_with_one(site):
    assert (await site.look())["Gerrit/web address"].mark is Mark.UNKNOWN
    assert_wrong((await site.look(gerrit={"password": PASSWORD}))["Gerrit/web address"], "cannot be reached", "baseurl")
