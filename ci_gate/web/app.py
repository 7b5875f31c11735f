"""The HTTP face: status.json, the page that shows it, a health check, and routes that others bring (outputs.md 5).

Made by the daemon, which runs it. Reads the state through two callables, changes nothing, and answers from a rendering
that is at most ``status_expiry`` old. All links are relative, so that a front end may mount it under any prefix.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from datetime import UTC
from email.utils import formatdate
from pathlib import Path

from aiohttp import hdrs, web

from ci_gate.config.settings import WebSettings
from ci_gate.model.item import StatusView
from ci_gate.model.operations import Operations
from ci_gate.web.rendering import Page, Renderer

STATIC = Path(__file__).parent / "static"
CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
WORTH_COMPRESSING = 512  # bytes

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def make_app(
    *,
    view: Callable[[], StatusView],
    operations: Callable[[], Operations],
    settings: WebSettings,
    clock: Callable[[], float] = time.time,
    routes: Iterable[web.AbstractRouteDef] = (),
    trouble: Callable[[], str] = lambda: "",
) -> web.Application:
    """Everything that is served, at ``/`` and again below ``settings.prefix``, whether a front end strips it or not.

    ``view`` and ``operations`` are called on the loop's thread and must be quick. ``clock`` gives seconds since the
    epoch. The handlers of ``routes`` may rely on ``request.match_info`` alone, not on the path. ``trouble`` says in
    words what fails the health check, for as long as it does.
    """
    renderer = Renderer(view, operations, clock, settings.status_expiry_s)

    async def stop_rendering(_: web.Application) -> AsyncIterator[None]:
        yield
        renderer.close()

    app = web.Application()
    app.cleanup_ctx.append(stop_rendering)
    everything = [*_status_routes(renderer, settings.status_expiry_s, trouble), *_page_routes(_load_static()), *routes]
    app.add_routes(everything)
    prefix = settings.prefix.strip("/")
    if prefix:
        below = web.Application()
        below.add_routes(everything)
        app.add_routes([web.get(f"/{prefix}", _add_slash)])
        app.add_subapp(f"/{prefix}", below)
    return app


async def _add_slash(request: web.Request) -> web.StreamResponse:
    """Relative links of the page need it. The target is relative too: the front end's path is not known here."""
    raise web.HTTPPermanentRedirect(f"{request.path.rpartition('/')[2]}/")


# --- status ------------------------------------------------------------------------------------------------------


def _status_routes(renderer: Renderer, expiry_s: int, trouble: Callable[[], str]) -> list[web.RouteDef]:
    async def status(request: web.Request) -> web.Response:
        rendering = await renderer.current()
        return _answer(request, rendering.page, expiry_s)

    async def items(request: web.Request) -> web.Response:
        rendering = await renderer.current()
        return _answer(request, rendering.items_page(request.match_info["id"]), expiry_s)

    async def healthy(_: web.Request) -> web.Response:
        wrong = trouble()
        headers = {hdrs.CACHE_CONTROL: "no-store"}
        return web.Response(text=f"{wrong or 'ok'}\n", headers=headers, status=503 if wrong else 200)

    return [
        web.get(r"/{name:status(\.json)?}{slash:/?}", status),
        web.get(r"/status/change/{id:[^/]+}{slash:/?}", items),
        web.get(r"/healthz{slash:/?}", healthy),
    ]


def _answer(request: web.Request, page: Page, expiry_s: int) -> web.Response:
    headers = {
        hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: "*",
        hdrs.CACHE_CONTROL: f"max-age={expiry_s}, public",
        hdrs.LAST_MODIFIED: formatdate(int(page.rendered_at), usegmt=True),
        hdrs.EXPIRES: formatdate(int(page.rendered_at) + expiry_s, usegmt=True),
        hdrs.ETAG: f'W/"{page.etag}"',
        hdrs.VARY: hdrs.ACCEPT_ENCODING,
        "X-Content-Type-Options": "nosniff",
    }
    if _is_known(request, page.etag, page.rendered_at):
        return web.Response(status=304, headers=headers)
    headers[hdrs.CONTENT_TYPE] = "application/json"
    if len(page.body) >= WORTH_COMPRESSING and _takes_gzip(request):
        headers[hdrs.CONTENT_ENCODING] = "gzip"
        return web.Response(body=page.gzipped, headers=headers)
    return web.Response(body=page.body, headers=headers)


def _is_known(request: web.Request, etag: str, modified_at: float | None = None) -> bool:
    """Has the client this already? ``If-None-Match`` decides if it is there, else ``If-Modified-Since``."""
    wanted = request.if_none_match
    if wanted is not None:
        return any(each.value in {etag, "*"} for each in wanted)
    since = request.if_modified_since
    return modified_at is not None and since is not None and int(modified_at) <= since.replace(tzinfo=UTC).timestamp()


def _takes_gzip(request: web.Request) -> bool:
    offers = request.headers.get(hdrs.ACCEPT_ENCODING, "").lower().split(",")
    for offer in offers:
        coding, _, quality = offer.replace(" ", "").partition(";q=")
        if coding == "gzip":
            return quality.strip("0.") != "" or not quality
    return False


# --- the page ----------------------------------------------------------------------------------------------------


def _load_static() -> Mapping[str, Page]:
    """The files are few and small: read once, so that no request reaches the file system."""
    pages = {}
    for path in sorted(STATIC.iterdir()):
        if path.suffix in CONTENT_TYPES:
            pages[path.name] = Page.of(path.read_text(encoding="utf-8"), 0)
    return pages


def _page_routes(files: Mapping[str, Page]) -> list[web.RouteDef]:
    async def index(request: web.Request) -> web.Response:
        return _file(request, "index.html", files["index.html"])

    async def static(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in files:
            raise web.HTTPNotFound
        return _file(request, name, files[name])

    return [web.get("/", index), web.get("/static/{name}", static)]


def _file(request: web.Request, name: str, page: Page) -> web.Response:
    headers = SECURITY_HEADERS | {
        hdrs.CACHE_CONTROL: "no-cache",
        hdrs.ETAG: f'W/"{page.etag}"',
        hdrs.VARY: hdrs.ACCEPT_ENCODING,
    }
    if _is_known(request, page.etag):
        return web.Response(status=304, headers=headers)
    headers[hdrs.CONTENT_TYPE] = CONTENT_TYPES[Path(name).suffix]
    if _takes_gzip(request):
        headers[hdrs.CONTENT_ENCODING] = "gzip"
        return web.Response(body=page.gzipped, headers=headers)
    return web.Response(body=page.body, headers=headers)
