"""News that Jenkins posts when a build starts or ends (gearman-jenkins.md 12): they shorten the wait for the next look.

``POST`` of ``{"uuid": …, "phase": …, "number": …, "url": …, "status": …}`` with ``Authorization: Bearer TOKEN``, to any
path. Only that there is something to look at is believed: what a build came to is always read from Jenkins.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Callable

import structlog
from aiohttp import web

from ci_gate.config.settings import HookSettings

log = structlog.stdlib.get_logger("ci_gate.Jenkins")

LARGEST = 64 * 1024  # bytes of a body
RETRY_S = 30.0


class Hook:
    """``news`` is told the uuid, and says whether it is a build under way."""

    def __init__(self, settings: HookSettings, news: Callable[[str], bool]) -> None:
        self._settings = settings
        self._news = news
        self.port = settings.port

    async def run(self) -> None:
        """Until it is cancelled. Builds are followed without it, so what is in its way is logged, and tried again."""
        while True:
            try:
                token = await asyncio.to_thread(self._settings.token_file.read_text, encoding="utf-8")
                if not token.strip():
                    raise OSError(f"{self._settings.token_file} is empty")  # noqa: TRY301  # like one that is missing
                await self._serve(token.strip())
            except (OSError, UnicodeDecodeError) as problem:
                log.warning("no news can be taken from Jenkins", port=self._settings.port, reason=str(problem))
                await asyncio.sleep(RETRY_S)

    async def _serve(self, token: str) -> None:
        async def take(request: web.Request) -> web.Response:
            return await self._take(request, token)

        application = web.Application(client_max_size=LARGEST)
        application.router.add_post("/{path:.*}", take)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._settings.address, self._settings.port).start()
            self.port = runner.addresses[0][1]
            log.info("takes news from Jenkins", address=self._settings.address, port=self.port)
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()

    async def _take(self, request: web.Request, token: str) -> web.Response:
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, f"Bearer {token}".encode()):
            return web.Response(status=401)
        try:
            news = json.loads(await request.read())
        except (ValueError, RecursionError):
            news = None
        uuid = news.get("uuid") if isinstance(news, dict) else None
        if not isinstance(uuid, str):
            return web.Response(status=400, text="a JSON object with the build's uuid is needed\n")
        return web.Response(status=202 if self._news(uuid) else 404)
