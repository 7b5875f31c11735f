"""What keeps ``ci-gate serve`` from starting, found before anything starts: one line each, with what to do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ci_gate.config.settings import Settings
from ci_gate.gerrit.connection import check_key
from ci_gate.model.layout import Layout
from ci_gate.statsd import StatsdPortError, port_of

LATER = "this version of ci-gate cannot do that yet"


def refusals(settings: Settings, layout: Layout) -> list[str]:
    """Everything at once, so that the operator need not start five times."""
    return [*_connections(settings, layout), *_folders(settings), *_merger(settings), *_metrics()]


def _connections(settings: Settings, layout: Layout) -> Iterator[str]:
    for gerrit in settings.gerrits:
        problem = check_key(gerrit)
        if problem is not None:
            yield f"[connection {gerrit.name}]: {problem}"
    sources = {each.source for each in layout.pipelines}
    if layout.pipelines and not sources & {each.name for each in settings.gerrits}:
        yield f"{settings.path}: no Gerrit connection that a pipeline uses; add [gerrit] with server, user and sshkey"


def _folders(settings: Settings) -> Iterator[str]:
    for key, folder in (("state_dir", settings.state_dir), ("git_dir", settings.merger.git_dir)):
        problem = _unusable(folder)
        if problem:
            yield f"{key} {folder} {problem}; set {key} to a folder that this user can write to"


def _unusable(folder: Path) -> str | None:
    """Why files cannot be made in a folder, which is made if it is missing; None if they can."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        return f"cannot be made: {problem.strerror}"
    # Root may write anywhere but on a read-only file system, which access tells too.
    return None if os.access(folder, os.W_OK | os.X_OK) else "cannot be written to"


def _merger(settings: Settings) -> Iterator[str]:
    if settings.merger.zuul_url is None:
        port = settings.web.port
        yield f"zuul_url is missing; set it to where workers fetch merged refs: http://THIS-HOST:{port}/p"
    elif not settings.merger.embedded:
        yield f"[merger] embedded = false needs remote mergers: {LATER}; take the line out"


def _metrics() -> Iterator[str]:
    if os.environ.get("STATSD_HOST"):
        try:
            port_of(os.environ)
        except StatsdPortError as problem:
            yield str(problem)
