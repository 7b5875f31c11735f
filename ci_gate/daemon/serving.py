"""The web server as a part of the service: all that is served over HTTP, on one address."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack

from aiohttp import web

from ci_gate.config.settings import WebSettings
from ci_gate.daemon.starting import StartError

BACKLOG = 1024  # connections that the system holds until they are taken
SHUTDOWN_S = 2.0


async def serve(
    app: web.Application, settings: WebSettings, parts: AsyncExitStack, *, shutdown_s: float = SHUTDOWN_S
) -> None:
    """Until ``parts`` are closed. Raises StartError if the address cannot be had."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=shutdown_s)
    await runner.setup()
    parts.push_async_callback(runner.cleanup)
    try:
        await web.TCPSite(runner, settings.listen_address, settings.port, backlog=BACKLOG).start()
    except OSError as problem:
        address = f"{settings.listen_address}:{settings.port}"
        raise StartError(
            f"cannot listen on {address}: {os.strerror(problem.errno or 0)}; "
            "set [webapp] listen_address and port to an address and a port that are free"
        ) from problem
