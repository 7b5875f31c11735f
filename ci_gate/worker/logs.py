"""Log files over HTTP: as plain text whatever is in them, since commands of strangers' changes wrote it."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

HEADERS = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox"}


class LogServer:
    """``start`` raises OSError if it cannot listen there."""

    def __init__(self, folder: Path, log_name: str) -> None:
        self._folder = folder
        self._log_name = log_name
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        application = web.Application()
        application.router.add_get("/{path:.*}", self._serve)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner:
            await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        """A folder is its log."""
        root = self._folder.resolve()
        path = (root / request.match_info["path"].lstrip("/")).resolve()
        if path.is_dir():
            path /= self._log_name
        if not path.is_relative_to(root) or not path.is_file():
            raise web.HTTPNotFound
        return web.FileResponse(path, headers=HEADERS | {"Content-Type": "text/plain; charset=utf-8"})
