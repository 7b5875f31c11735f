"""Events in posts: taken once, from those who know the secret, and each a hint to look (gerrit-wire.md 10)."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from gerrit_parts import PROJECT, VERSIONS, recorded_events, settings_for, when
from structlog.testing import capture_logs

from ci_gate.config.settings import GerritSettings
from ci_gate.daemon import catching_up as module
from ci_gate.daemon.catching_up import CatchingUp, Surroundings, Wanted
from ci_gate.gerrit.events import event_of
from ci_gate.gerrit.seen import Seen
from ci_gate.gerrit.webhooks import Webhooks
from ci_gate.model.event import Event
from ci_gate.store.journal import default_address
from ci_gate.store.marks import Mark, Marks
from ci_gate.web import hooks as hooks_module
from ci_gate.web.hooks import SIGNATURE, hook_routes

SETTINGS = GerritSettings("gerrit", "review.example.org", "ci")
SECRET = "0123456789abcdef-ä"
COMMENT = {
    "type": "comment-added",
    "change": {"number": 1, "project": PROJECT, "branch": "master"},
    "patchSet": {"number": 1},
    "author": {"username": "dev"},
    "comment": "Patch Set 1:\n\nrecheck",
}


def comment(at: float, **more) -> bytes:
    return json.dumps(COMMENT | {"eventCreatedOn": int(at)} | more).encode()


def signature(body: bytes) -> dict[str, str]:
    return {SIGNATURE: "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()}


class Site:
    """A web server that takes posts for one connection."""

    def __init__(self, settings) -> None:
        self.events: list[Event] = []
        self.hooks = Webhooks(settings, self.events.append)
        self.streams: dict = {"gerrit": self.hooks}

    async def __aenter__(self):
        app = web.Application()
        app.add_routes(hook_routes(lambda: self.streams))
        self.client = TestClient(TestServer(app))
        await self.client.start_server()
        return self

    async def __aexit__(self, *_):
        await self.client.close()

    async def post(self, body: bytes, path: str = "/hooks/gerrit", **options) -> int:
        async with self.client.post(path, data=body, **options) as answer:
            self.text = await answer.text()
            return answer.status


@pytest.fixture
async def site(gerrit):
    async with Site(settings_for(gerrit, stream="webhooks", webhook_secret=SECRET)) as made:
        yield made


BODY = comment(1000)


@pytest.mark.parametrize(
    "options",
    [
        {"params": {"token": SECRET}},
        {"headers": {"Authorization": f"Bearer {SECRET}"}},
        {"headers": signature(BODY)},
    ],
    ids=["in the address", "in a header", "by signature"],
)
async def test_whoever_knows_the_secret_may_post(site, options):
    assert await site.post(BODY, **options) == 204
    assert [each.comment for each in site.events] == [COMMENT["comment"]]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"params": {"token": ""}},
        {"params": {"token": SECRET[:-1]}},
        {"headers": {"Authorization": f"Basic {SECRET[:-1]}"}},
        {"headers": {"Authorization": "Bearer \udcff"}},
        {"headers": signature(b"another body")},
        {"headers": {SIGNATURE: "sha256="}},
        {"headers": {SIGNATURE: "md5=x"}},
        {"headers": signature(b"another body"), "params": {"token": SECRET}},
    ],
)
async def test_all_others_are_refused_and_the_log_says_what_to_do(site, options, capsys):
    assert await site.post(BODY, **options) == 401
    assert site.events == []
    told = capsys.readouterr()
    assert "refused a post without the right secret" in told.out + told.err
    assert SECRET not in told.out + told.err + site.text


async def test_a_flood_of_refused_posts_is_told_once(site, capsys):
    for _ in range(20):
        assert await site.post(BODY) == 401
    told = capsys.readouterr()
    assert (told.out + told.err).count("refused a post") == 1


async def test_a_connection_without_a_secret_takes_nothing(gerrit):
    async with Site(settings_for(gerrit, stream="webhooks")) as site:
        assert await site.post(BODY, params={"token": ""}) == 401
        assert await site.post(BODY, headers=signature(BODY)) == 401


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"{}", b"\xff", b'{"type": "comment-added"}', b'{"type": 1}'])
async def test_what_is_no_event_is_refused_and_does_no_harm(site, body):
    assert await site.post(body, params={"token": SECRET}) == 400
    assert await site.post(BODY, params={"token": SECRET}) == 204
    assert len(site.events) == 1


async def test_a_long_event_is_taken_and_an_endless_one_is_not(site, monkeypatch):
    assert await site.post(comment(1, comment="x" * 3_000_000), params={"token": SECRET}) == 204
    monkeypatch.setattr(hooks_module, "MOST_BODY", 1000)
    assert await site.post(comment(1, comment="x" * 3_000), params={"token": SECRET}) == 413


async def test_the_connection_is_named_where_there_are_several(site, gerrit):
    other = Webhooks(settings_for(gerrit, name="other one", stream="webhooks", webhook_secret="x" * 16), [].append)
    site.streams["other one"] = other
    site.streams["by ssh"] = object()
    right = {"token": SECRET}
    assert await site.post(BODY, params=right) == 404
    assert await site.post(BODY, "/hooks/gerrit/gerrit", params=right) == 204
    assert await site.post(BODY, "/hooks/gerrit/other%20one", params=right) == 401
    assert await site.post(BODY, "/hooks/gerrit/other%20one", params={"token": "x" * 16}) == 204
    assert await site.post(BODY, "/hooks/gerrit/by%20ssh", params=right) == 404


async def test_whoever_only_looks_learns_where_posts_are_taken(site):
    site.streams["by ssh"] = object()
    with capture_logs() as logs:
        for path, status in (("", 405), ("/gerrit", 405), ("/by%20ssh", 404), ("/none", 404)):
            async with site.client.get(f"/hooks/gerrit{path}") as answer:
                assert answer.status == status
        assert not logs
        assert await site.post(BODY, params={"token": "wrong"}) == 401
        assert "refused a post" in logs[-1]["event"]
    assert not site.hooks.state.events


async def test_before_it_listens_gerrit_is_asked_to_post_again(site):
    site.streams = {}
    assert await site.post(BODY, params={"token": SECRET}) == 503


@pytest.mark.parametrize("version", VERSIONS)
async def test_posts_and_a_stream_give_the_same_events(site, gerrit, version):
    settings = settings_for(gerrit)
    lines = [each for each in recorded_events(version) if each["type"] != "dropped-output"]
    for each in lines:
        assert await site.post(json.dumps(each).encode(), params={"token": SECRET}) == 204
    wanted = [event for event in (event_of(each, settings) for each in lines if "change" in each) if event]
    assert [each for each in site.events if each.number] == wanted
    assert site.hooks.state.events == len(lines)
    assert site.hooks.state.complete_since is None


# --- what follows of a post ---


@pytest.fixture
async def looking(gerrit, access, tmp_path):
    taken: list[Event] = []

    async def journaled() -> None:
        pass

    around = Surroundings(
        wanted=lambda: Wanted([PROJECT], []), take=taken.append, backlog=lambda: 0, journaled=journaled
    )
    made = CatchingUp(access.settings, access, Marks(default_address(tmp_path)), around)
    now = time.time()
    made.begin(Mark(now - 600, now - 600))
    made.taken = taken
    return made


def event(at: float, **more) -> Event:
    return event_of(json.loads(comment(at, **more)), SETTINGS)


async def test_a_post_that_is_sent_again_is_no_news_even_after_a_restart(looking):
    now = int(time.time())
    for _ in range(3):
        looking.posted(event(now))
    looking.posted(event(now + 1))
    assert len(looking.taken) == 2
    seen = Seen()
    seen.restore(looking.taken[0])
    assert not seen.tell(event(now), may_repeat=True)
    assert seen.tell(event(now)), "a stream does not repeat itself"


async def test_after_a_post_what_others_would_have_told_is_looked_for(gerrit, access, looking, change, monkeypatch):
    monkeypatch.setattr(module, "LOOK_AFTER_POST_S", 0.05)
    running = asyncio.create_task(looking.run())
    gerrit.comment(change.number, by="dev", message="recheck, in a post that was lost")
    looking.posted(event(time.time(), comment="Patch Set 1:\n\nin a post that came"))
    await when(lambda: any("was lost" in (each.comment or "") for each in looking.taken), "the lost comment")
    running.cancel()


async def test_it_begins_with_a_look(gerrit):
    looks = []
    hooks = Webhooks(settings_for(gerrit, webhook_secret=SECRET), [].append, lambda: looks.append(1))
    running = asyncio.create_task(hooks.run())
    await when(lambda: looks, "a look")
    running.cancel()
    assert "no post" in hooks.state.detail
