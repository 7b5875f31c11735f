"""The doctor where a site allows HTTP alone: the password for REST and git, and events in posts."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest
from doctor_parts import LAYOUT, assert_good, assert_wrong
from web_gerrit import PASSWORD, WebGerrit

from ci_gate.doctor.check import Finding, Mark
from ci_gate.doctor.examination import examine
from ci_gate.sandbox.world import CI_ACCOUNT, World

EXAMPLES = Path(__file__).parent.parent.parent / "etc"
SECRET = "0123456789abcdef"
HTTP_ALONE = {"password": PASSWORD, "stream": "webhooks", "webhook_secret": SECRET}
OF_SSH = ("key", "reachable", "host key", "event stream")
AFTER_THE_ACCOUNT = ("projects", "git", "votes")


@pytest.fixture
def http_site(bare_site, web_gerrit):
    bare_site.values["gerrit"] |= HTTP_ALONE
    return bare_site


async def test_a_site_that_is_set_up_well_is_good_and_nothing_of_ssh_is_looked_at(http_site, web_gerrit):
    found = await http_site.look()
    assert not [each for each in OF_SSH if f"Gerrit/{each}" in found]
    assert_good(found["Gerrit/web address"], http_site.values["gerrit"]["baseurl"])
    assert_good(found["Gerrit/account"], "ci is let in", "3.13.0")
    assert_good(found["Gerrit/clock"])
    assert_good(found["Gerrit/projects"], "(1)")
    assert_good(found["Gerrit/git"], "demo/app", "1 branches")
    assert_good(found["Gerrit/votes"], "1 project")
    assert web_gerrit.fetched
    assert {each.partition(" ")[0] for each in web_gerrit.asked} <= {"GET", "HEAD"}


async def test_ssh_need_not_be_installed(http_site, monkeypatch):
    monkeypatch.setattr("ci_gate.doctor.local.shutil.which", lambda _: None)
    assert_good((await http_site.look())["This machine/git"])
    found = await http_site.look(gerrit={"stream": "ssh"})
    assert_wrong(found["This machine/git"], "no ssh")


async def test_a_refused_password_is_told_with_its_fix_tried_once_and_leaves_nothing_good_behind_it(
    http_site, web_gerrit
):
    found = await http_site.look(gerrit={"password": "mistyped"})
    assert_wrong(found["Gerrit/account"], "password of ci is not accepted", "HTTP Credentials", "[gerrit] password")
    for each in AFTER_THE_ACCOUNT:
        assert found[f"Gerrit/{each}"].mark is Mark.NOT_TRIED
    assert len(web_gerrit.authorizations) == 1
    assert not [each for each in found.values() if "mistyped" in each.text + each.fix]


async def test_an_address_where_nobody_listens_is_told_once(bare_site):
    found = await bare_site.look(gerrit=HTTP_ALONE)
    assert_wrong(found["Gerrit/web address"], "cannot reach", "baseurl")
    wrong = [name for name, each in found.items() if name.startswith("Gerrit/") and each.mark is Mark.WRONG]
    assert wrong == ["Gerrit/web address"]


async def test_an_account_that_is_refused_itself_is_wrong(http_site, web_gerrit):
    web_gerrit.refused = {"/accounts/self"}
    assert_wrong((await http_site.look())["Gerrit/account"], "ci is not let in", "403", "active")


async def test_a_project_that_gerrit_does_not_show_is_named_with_the_one_that_was_meant(http_site):
    http_site.write_layout(LAYOUT.replace("demo/app", "demo/ap"))
    finding = (await http_site.look())["Gerrit/projects"]
    assert_wrong(finding, "demo/ap", 'did you mean "demo/app"?')


async def test_a_project_that_git_cannot_fetch_is_wrong_and_the_password_is_not_shown(http_site, web_gerrit):
    web_gerrit.refused = {"/demo/app/info/refs"}
    finding = (await http_site.look())["Gerrit/git"]
    assert_wrong(finding, "git cannot fetch demo/app", "403", "git ls-remote")
    assert PASSWORD not in finding.text + finding.fix


async def test_a_label_that_there_is_not_is_wrong(http_site):
    http_site.write_layout(LAYOUT.replace("Verified", "Verifeid"))
    assert_wrong((await http_site.look())["Gerrit/votes"], "demo/app: verifeid", "(there is no such label)")


# --- events ---


async def test_where_events_come_in_cannot_be_told_without_the_service_but_what_gerrit_needs_is(http_site):
    finding = (await http_site.look(zuul={"status_url": "https://ci.example.org/"}))["Gerrit/events"]
    assert finding.mark is Mark.UNKNOWN
    assert "does not run" in finding.text
    assert "webhooks.config in refs/meta/config of All-Projects" in finding.fix
    assert "url = https://ci.example.org/hooks/gerrit/gerrit?token=…" in finding.fix
    assert SECRET not in finding.fix


async def test_posts_by_which_events_come_need_no_password(site, web_gerrit):
    found = await site.look(gerrit={"stream": "webhooks", "webhook_secret": SECRET})
    assert_good(found["Gerrit/account"], "ci is let in")
    assert "Gerrit/event stream" not in found
    assert found["Gerrit/events"].mark is Mark.UNKNOWN


class NoSsh:
    """What ``World`` asks of its Gerrit."""

    listeners, port = 1, 1

    def key_file(self, _: str) -> Path:
        return Path("/nowhere")


async def _text(session: aiohttp.ClientSession, url: str) -> str:
    async with session.get(url) as answer:
        return await answer.text()


async def test_the_running_service_tells_whether_posts_come(tmp_path):
    web_gerrit = WebGerrit(CI_ACCOUNT)
    settings = {("gerrit", key): value for key, value in HTTP_ALONE.items()}
    settings["gerrit", "baseurl"] = await web_gerrit.start()
    world = World(tmp_path, EXAMPLES, settings=settings)
    world.gerrit = NoSsh()
    world.write_config()

    async def events(connection: str = "Gerrit") -> Finding:
        found = {f"{each.group}/{each.name}": each.finding async for each in examine(world.config)}
        return found[f"{connection}/events"]

    try:
        await world.start_service()
        finding = await events()
        assert finding.mark is Mark.UNKNOWN
        assert f"{world.url}hooks/gerrit/gerrit is served; no post" in finding.text
        assert "webhooks.config" in finding.fix
        async with aiohttp.ClientSession() as session:
            post = session.post(f"{world.url}hooks/gerrit", json={"type": "new"}, params={"token": SECRET})
            async with post as answer:
                assert answer.status == 204
            async with asyncio.timeout(20):
                while "no post of Gerrit" in await _text(session, f"{world.url}status.json"):  # noqa: ASYNC110  # cached
                    await asyncio.sleep(0.1)
        assert_good(await events(), "is served, and posts")
        assert "refused a post" not in world.log.read_text()
        text = world.config.read_text()
        world.config.write_text(text.replace("[gerrit]", "[connection other]\ndriver=gerrit"))
        assert_wrong(await events("Gerrit other"), "hooks/gerrit/other", "restart")
    finally:
        await world.stop_service()
        await web_gerrit.stop()
