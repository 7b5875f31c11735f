"""What keeps ``ci-gate serve`` from starting, found before anything starts: one line each, with what to do.

Problems are those of the configuration file, texts what is not in it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from ci_gate.config.problems import Level, Problem
from ci_gate.config.read_settings import error_at
from ci_gate.config.settings import Settings
from ci_gate.daemon.shadowing import why_not_here
from ci_gate.gerrit.connection import check_key
from ci_gate.job_servers import TlsError, client_context, server_context
from ci_gate.model.layout import Layout
from ci_gate.statsd import StatsdPortError, port_of


def refusals(settings: Settings, layout: Layout) -> list[Problem | str]:
    """Everything at once, so that the operator need not start five times."""
    found = (_connections(settings, layout), _certificates(settings), _folders(settings), _metrics(), _shadow(settings))
    return list(chain(*found))


def merger_refusals(settings: Settings) -> list[Problem | str]:
    """The same for a merger on its own."""
    return [*_keys(settings), *_certificates(settings), *_folders(settings)]


def _keys(settings: Settings) -> Iterator[Problem]:
    for gerrit in settings.gerrits:
        problem = check_key(gerrit)
        if problem is not None:
            yield error_at(settings.path, gerrit.name, "sshkey", problem)


def _connections(settings: Settings, layout: Layout) -> Iterator[Problem]:
    yield from _keys(settings)
    sources = {each.source for each in layout.pipelines}
    if layout.pipelines and not sources & {each.name for each in settings.gerrits}:
        said = "no Gerrit connection that a pipeline uses; add [gerrit] with server, user and sshkey"
        yield Problem(str(settings.path), 0, 0, Level.ERROR, said)


def _certificates(settings: Settings) -> Iterator[str]:
    own = settings.gearman_server
    for files, make in ((settings.gearman.tls, client_context), (own.tls if own.start else None, server_context)):
        try:
            if files is not None:
                make(files)
        except TlsError as problem:
            yield str(problem)


def _folders(settings: Settings) -> Iterator[Problem]:
    folders = [("zuul", "state_dir", settings.state_dir)]
    if settings.merger.embedded:
        folders.append(("merger", "git_dir", settings.merger.git_dir))
    for section, key, folder in folders:
        problem = _unusable(folder)
        if problem:
            said = f"{folder} {problem}; set {key} to a folder that this user can write to"
            yield error_at(settings.path, section, key, said)


def _unusable(folder: Path) -> str | None:
    """Why files cannot be made in a folder, which is made if it is missing; None if they can."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        return f"cannot be made: {problem.strerror}"
    # Root may write anywhere but on a read-only file system, which access tells too.
    return None if os.access(folder, os.W_OK | os.X_OK) else "cannot be written to"


def _shadow(settings: Settings) -> Iterator[str]:
    try:
        reason = why_not_here(settings)
    except OSError:
        return  # told above
    if reason is not None:
        yield reason


def _metrics() -> Iterator[str]:
    if os.environ.get("STATSD_HOST"):
        try:
            port_of(os.environ)
        except StatsdPortError as problem:
            yield str(problem)
