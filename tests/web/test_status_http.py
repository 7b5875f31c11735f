"""status.json, the page and their headers as clients get them over a real socket (outputs.md 5)."""

from __future__ import annotations

import gzip
import json
from email.utils import parsedate_to_datetime

import pytest
from aiohttp import ClientSession, DummyCookieJar, web
from aiohttp.test_utils import TestServer
from status_examples import NOW, calm, change, finished, item, periodic, running, view_of

from ci_gate.config.settings import WebSettings
from ci_gate.model.item import StatusView
from ci_gate.web.app import make_app

VIEW = view_of(
    (item(running("a"), finished("b"), finished("c")), item(subject=change(2050, 1))),
    (item(subject=periodic()),),
)
HTTP_DATE = "Thu, 01 Jan 2026 00:01:22 GMT"  # NOW


class Site:
    """A served application and a client; ``now`` and ``view`` may be changed."""

    def __init__(self, settings: WebSettings, routes: list[web.RouteDef]) -> None:
        self.now = NOW
        self.view: StatusView = VIEW
        self.trouble = ""
        app = make_app(
            view=lambda: self.view,
            operations=calm,
            settings=settings,
            clock=lambda: self.now,
            routes=routes,
            trouble=lambda: self.trouble,
        )
        self.server = TestServer(app, host="127.0.0.1")

    async def __aenter__(self) -> Site:
        await self.server.start_server()
        self.session = ClientSession(auto_decompress=False, cookie_jar=DummyCookieJar())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()
        await self.server.close()

    async def ask(self, path: str, method: str = "GET", **headers: str):
        sent = {"Accept-Encoding": "identity"} | {key.replace("_", "-"): value for key, value in headers.items()}
        url = self.server.make_url("/").join(self.server.make_url(path))
        answer = await self.session.request(method, url, headers=sent, allow_redirects=False)
        await answer.read()  # so that it can be read again
        return answer

    async def get_json(self, path: str):
        return json.loads(await (await self.ask(path)).read())


@pytest.fixture
async def site():
    async with Site(WebSettings(status_expiry_s=2), []) as served:
        yield served


# --- what is there -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/status.json", "/status", "/status.json/", "/status/"])
async def test_the_status_has_two_names_and_tolerates_a_slash(site, path):
    answer = await site.ask(path)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    assert json.loads(await answer.read())["pipelines"][0]["name"] == "gate"


@pytest.mark.parametrize("path", ["/status/change/2050,1", "/status/change/2050%2C1", "/status/change/2050,1/"])
async def test_a_change_is_looked_up_over_all_pipelines(site, path):
    found = await site.get_json(path)
    assert [each["id"] for each in found] == ["2050,1"]
    whole = await site.get_json("/status.json")
    assert found == [whole["pipelines"][0]["change_queues"][0]["heads"][0][1]]


async def test_an_unknown_change_is_an_empty_list(site):
    answer = await site.ask("/status/change/9,9")
    assert (answer.status, await answer.read()) == (200, b"[]")


@pytest.mark.parametrize("path", ["/nothing", "/status/change/", "/status/changes", "/static/", "/static/nothing"])
async def test_anything_else_is_a_plain_404(site, path):
    answer = await site.ask(path)
    assert (answer.status, answer.content_type) == (404, "text/plain")


@pytest.mark.parametrize("path", ["/static/../app.py", "/static/%2e%2e%2fapp.py", "/static/..%2Fapp.py"])
async def test_nothing_but_the_pages_files_can_be_reached(site, path):
    assert (await site.ask(path)).status == 404


async def test_the_health_check_says_ok(site):
    answer = await site.ask("/healthz")
    assert (answer.status, await answer.read()) == (200, b"ok\n")


async def test_the_health_check_fails_while_there_is_trouble(site):
    site.trouble = "merging fails: No space left on device"
    answer = await site.ask("/healthz")
    assert (answer.status, await answer.read()) == (503, b"merging fails: No space left on device\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_only_get_and_head_are_answered(site, method):
    answer = await site.ask("/status.json", method)
    assert (answer.status, set(answer.headers["Allow"].split(","))) == (405, {"GET", "HEAD"})


async def test_head_has_the_headers_and_no_body(site):
    asked, full = await site.ask("/status.json", "HEAD"), await site.ask("/status.json")
    assert await asked.read() == b""
    assert asked.headers["Content-Length"] == full.headers["Content-Length"]
    assert asked.headers["ETag"] == full.headers["ETag"]


async def test_routes_of_others_are_served_too(site):
    async def fetch(request: web.Request) -> web.Response:
        return web.Response(text=request.match_info["project"])

    settings = WebSettings(prefix="/zuul/")
    async with Site(settings, [web.get("/p/{project:.+}/info/refs", fetch)]) as served:
        assert await (await served.ask("/p/acme/lib/info/refs")).read() == b"acme/lib"
        assert await (await served.ask("/zuul/p/acme/lib/info/refs")).read() == b"acme/lib"


# --- headers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/status.json", "/status/change/2050,1"])
async def test_the_status_may_be_read_from_anywhere_and_kept_until_it_expires(site, path):
    headers = (await site.ask(path)).headers
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert headers["Cache-Control"] == "max-age=2, public"
    assert headers["Last-Modified"] == HTTP_DATE
    expires = parsedate_to_datetime(headers["Expires"])
    assert (expires - parsedate_to_datetime(headers["Last-Modified"])).total_seconds() == 2


@pytest.mark.parametrize("path", ["/status.json", "/status/change/2050,1"])
async def test_what_the_client_has_already_is_not_sent_again(site, path):
    known = await site.ask(path, If_Modified_Since=HTTP_DATE)
    assert (known.status, await known.read()) == (304, b"")
    assert known.headers["Cache-Control"] == "max-age=2, public"
    assert (await site.ask(path, If_None_Match=known.headers["ETag"])).status == 304


async def test_a_new_rendering_is_sent_again(site):
    old = await site.ask("/status.json")
    site.now += 5
    assert (await site.ask("/status.json", If_Modified_Since=HTTP_DATE)).status == 200
    assert (await site.ask("/status.json", If_None_Match=old.headers["ETag"])).status == 200


async def test_an_entity_tag_decides_before_the_date(site):
    both = {"If_None_Match": '"something else"', "If_Modified_Since": HTTP_DATE}
    assert (await site.ask("/status.json", **both)).status == 200


async def test_a_rendering_is_kept_until_it_expires(site):
    before = await (await site.ask("/status.json")).read()
    site.view = StatusView(())
    site.now += 1
    assert await (await site.ask("/status.json")).read() == before
    site.now += 1
    assert (await site.get_json("/status.json"))["pipelines"] == []


@pytest.mark.parametrize("offer", ["gzip", "br, gzip;q=0.5", "GZIP"])
async def test_who_takes_gzip_gets_it(site, offer):
    packed = await site.ask("/status.json", Accept_Encoding=offer)
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(await packed.read()) == await (await site.ask("/status.json")).read()
    assert "Accept-Encoding" in packed.headers["Vary"]


@pytest.mark.parametrize("offer", ["identity", "br", "gzip;q=0", "gzip; q=0.0", "", "notgzip"])
async def test_who_does_not_take_gzip_gets_plain_text(site, offer):
    assert "Content-Encoding" not in (await site.ask("/status.json", Accept_Encoding=offer)).headers


# --- the page ----------------------------------------------------------------------------------------------------


async def test_the_page_has_a_strict_content_security_policy(site):
    answer = await site.ask("/")
    assert (answer.status, answer.content_type) == (200, "text/html")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("name", "content_type"),
    [("status.js", "text/javascript"), ("status.css", "text/css"), ("icon.svg", "image/svg+xml")],
)
async def test_the_pages_files_are_served_and_revalidated(site, name, content_type):
    answer = await site.ask(f"/static/{name}")
    assert (answer.status, answer.content_type) == (200, content_type)
    assert (await site.ask(f"/static/{name}", If_None_Match=answer.headers["ETag"])).status == 304


@pytest.mark.parametrize("prefix", ["/zuul", "/zuul/", "zuul"])
async def test_below_a_prefix_everything_is_there_again(prefix):
    async with Site(WebSettings(prefix=prefix), []) as served:
        for path in ("/", "/status.json", "/status/change/2050,1", "/healthz", "/static/status.js"):
            assert (await served.ask(f"/zuul{path}")).status == 200
            assert (await served.ask(path)).status == 200
        bare = await served.ask("/zuul")
        assert (bare.status, bare.headers["Location"]) == (308, "zuul/")
