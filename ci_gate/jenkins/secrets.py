"""Where a Jenkins' API token comes from: its file, systemd's credentials, or the settings themselves."""

from __future__ import annotations

import os
from pathlib import Path

from ci_gate.config.settings import JenkinsSettings


class TokenError(Exception):
    """There is no token; the text says where it was looked for."""


def token_of(settings: JenkinsSettings) -> str | None:
    """As it is now: files are read each time, so that a new token needs no restart. None: no user, so no token."""
    if settings.user is None:
        return None
    if settings.token is not None:
        return settings.token
    path = settings.token_file or _credential(settings.name)
    if path is None:
        raise TokenError(
            f"[jenkins {settings.name}]: no token for {settings.user}: set token_file, or give the unit"
            f" LoadCredential=jenkins-{settings.name}:/FILE"
        )
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else "it is not text"
        raise TokenError(f"[jenkins {settings.name}]: the token in {path} cannot be read: {reason}") from problem
    if not token:
        raise TokenError(f"[jenkins {settings.name}]: {path} is empty; it has to hold the token of {settings.user}")
    return token


def _credential(name: str) -> Path | None:
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(folder) / f"jenkins-{name}" if folder else None
