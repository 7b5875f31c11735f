"""Jenkins tells that there is news of a build; what it is, is still read from Jenkins."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest
from jenkins_parts import Site, when

from ci_gate.config.problems import RefusedError
from ci_gate.config.read_settings import read_bridge_settings
from ci_gate.config.settings import HookSettings
from ci_gate.sandbox.ports import free_port

TOKEN = {"Authorization": "Bearer sésame"}
NEVER_S = 60.0  # of polling: longer than a test waits


@pytest.fixture
async def site(tmp_path):
    token = tmp_path / "token"
    token.write_text("sésame\n", encoding="utf-8")
    made = Site(poll_interval_s=NEVER_S, hook=HookSettings(free_port(), token))
    made.jenkins.add("unit")
    async with made:
        await when(lambda: "build:unit" in made.bridge.worker.functions, "the job is offered")
        yield made


async def post(site, body: object, headers: dict[str, str] | None = None) -> int:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    url = f"http://127.0.0.1:{site.bridge.hook.port}/"
    async with aiohttp.ClientSession() as session, session.post(url, data=text, headers=headers or TOKEN) as answer:
        return answer.status


async def test_what_jenkins_tells_is_looked_at_without_waiting(site):
    unique = site.launch()
    await when(lambda: site.bridge._books.active, "the bridge to have it")
    assert await post(site, {"uuid": unique, "phase": "QUEUED"}) == 202
    await when(lambda: site.jenkins.starts, "the start")
    assert await post(site, {"uuid": unique, "phase": "STARTED"}) == 202
    (build,) = await site.running()
    build.end("FAILURE")
    assert await post(site, {"uuid": unique, "phase": "FINALIZED", "status": "SUCCESS"}) == 202
    assert (await site.end(unique)).result == "FAILURE", "Jenkins' own record counts"


async def test_a_stranger_is_told_nothing_and_starts_nothing(site):
    unique = site.launch()
    await when(lambda: site.bridge._books.active, "the bridge to have it")
    before = site.jenkins.requests.total()
    news = {"uuid": unique}
    for headers in ({"X": "y"}, {"Authorization": "Bearer "}, {"Authorization": "Bearer sesame"}):
        assert await post(site, news, headers) == 401
    assert await post(site, {"uuid": "f" * 32}) == 404
    for garbage in (b"{", b"[" * 100_000, b"\xff", [], {"uuid": 7}, {}):
        assert await post(site, garbage) in (400, 413)
    assert await post(site, b" " * 200_000) == 413
    assert site.jenkins.requests.total() == before


async def test_a_flood_of_news_does_not_become_a_flood_of_questions(site):
    unique = site.launch()
    await when(lambda: site.bridge._books.active, "the bridge to have it")
    await post(site, {"uuid": unique})
    await when(lambda: site.jenkins.starts, "the start")
    await post(site, {"uuid": unique})
    await site.running()
    before = site.bridge.http.count
    started = asyncio.get_running_loop().time()
    for _ in range(100):
        await post(site, {"uuid": unique})
    looks = (asyncio.get_running_loop().time() - started) / site.times.news + 2
    assert site.bridge.http.count - before <= 2 * looks


async def test_builds_are_followed_although_the_port_is_taken(site, tmp_path):
    other = Site(hook=HookSettings(site.bridge.hook.port, tmp_path / "token"))
    other.jenkins.add("unit")
    async with other:
        unique = other.launch()
        (build,) = await other.running()
        build.end()
        assert (await other.end(unique)).result == "SUCCESS"


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("hook_port = 8091", "hook_port without hook_token_file"),
        ("hook_token_file = /t", "hook_token_file without hook_port"),
        ("hook_address = 0.0.0.0", "hook_address without hook_port"),
        ("hook_port = 0\nhook_token_file = /t", "is not a port"),
        ("hook_port = 65536\nhook_token_file = /t", "is not a port"),
        ("hook_port = http\nhook_token_file = /t", "is not a port"),
    ],
)
def test_half_a_hook_is_refused(tmp_path, lines, problem):
    assert problem in read(tmp_path, lines)


def read(folder, lines: str) -> str:
    path = folder / "ci.conf"
    path.write_text(f"[gearman]\nserver=127.0.0.1\n[jenkins main]\nurl=http://127.0.0.1\n{lines}\n")
    try:
        settings, _ = read_bridge_settings(path)
    except RefusedError as refused:
        return "\n".join(str(each) for each in refused.problems)
    return repr(settings.jenkins[0].hook)


def test_a_hook_listens_on_this_host_alone_unless_told_otherwise(tmp_path):
    assert "address='127.0.0.1'" in read(tmp_path, "hook_port = 8091\nhook_token_file = /t")
    assert "address='0.0.0.0'" in read(tmp_path, "hook_port = 8091\nhook_token_file = /t\nhook_address = 0.0.0.0")
