"""What the web server serves besides status and page: merged refs, and where Gerrit may post events."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

from ci_gate.daemon.operations import Observer
from ci_gate.web.git import git_routes
from ci_gate.web.hooks import hook_routes


def routes_of(git_dir: Path, observer: Observer) -> list[web.RouteDef]:
    return [*git_routes(git_dir), *hook_routes(lambda: observer.streams)]
