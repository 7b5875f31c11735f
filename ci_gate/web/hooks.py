"""``POST /hooks/gerrit``: where Gerrit's webhooks plugin posts its events (gerrit-wire.md 10)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from aiohttp import web

from ci_gate.gerrit.webhooks import Webhooks

MOST_BODY = 16 * 1024 * 1024  # bytes; commit messages and comments are in it
BODY_S = 30.0
SIGNATURE = "X-Hub-Signature-256"
BEARER = "Bearer "


def hook_routes(streams: Callable[[], Mapping[str, object]]) -> list[web.RouteDef]:
    """``streams`` are those of all connections, by name; empty until the service listens.

    Only connections with ``stream = webhooks`` take posts. Where there is one, its name may be left out.
    """

    async def take(request: web.Request) -> web.Response:
        hooks = _receiver(streams(), request.match_info.get("connection"))
        body = await _signed_body(request, hooks)
        if not hooks.take(body):
            raise web.HTTPBadRequest(text="not an event of Gerrit\n")
        return web.Response(status=204)

    async def tell(request: web.Request) -> web.Response:
        """For people who look whether this is the place: 404 if it is not."""
        _receiver(streams(), request.match_info.get("connection"))
        raise web.HTTPMethodNotAllowed(request.method, ["POST"], text="Gerrit's webhooks plugin posts here\n")

    places = (r"/hooks/gerrit{slash:/?}", "/hooks/gerrit/{connection}")
    return [*(web.post(each, take) for each in places), *(web.get(each, tell) for each in places)]


def _receiver(streams: Mapping[str, object], name: str | None) -> Webhooks:
    if not streams:
        raise web.HTTPServiceUnavailable(text="not listening yet\n", headers={"Retry-After": "5"})
    found = {each: stream for each, stream in streams.items() if isinstance(stream, Webhooks)}
    if name is None and len(found) == 1:
        return next(iter(found.values()))
    if name is None or name not in found:
        said = "no such connection takes posts: it needs stream = webhooks; post to hooks/gerrit/NAME\n"
        raise web.HTTPNotFound(text=said)
    return found[name]


async def _signed_body(request: web.Request, hooks: Webhooks) -> bytes:
    """What was posted, by somebody who knows the secret."""
    signature = request.headers.get(SIGNATURE, "")
    if not signature and not _has_token(request, hooks):
        hooks.refused(request.remote)
        raise web.HTTPUnauthorized(text="a post needs the connection's webhook_secret\n")
    body = await _body(request)
    if signature and not hooks.has_signed(signature, body):
        hooks.refused(request.remote)
        raise web.HTTPUnauthorized(text="the signature is not that of the connection's webhook_secret\n")
    return body


def _has_token(request: web.Request, hooks: Webhooks) -> bool:
    header = request.headers.get("Authorization", "")
    given = header.removeprefix(BEARER) if header.startswith(BEARER) else request.query.get("token", "")
    return hooks.knows(given)


async def _body(request: web.Request) -> bytes:
    """Longer ones than other requests may have."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > MOST_BODY:
                    raise web.HTTPRequestEntityTooLarge(MOST_BODY, len(body))
    except TimeoutError:
        raise web.HTTPRequestTimeout(text="the post takes too long\n") from None
    return bytes(body)
