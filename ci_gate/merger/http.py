"""How git reaches a Gerrit over HTTP, where a site allows nothing else: the password goes along in a header.

It is set for one process at a time by its environment, so that it is in no command line and in no repository.
"""

from __future__ import annotations

import base64

from ci_gate.config.settings import GerritSettings


def http_settings(gerrit: GerritSettings) -> dict[str, str]:
    """Settings of git for commands that talk to this Gerrit; the header goes to its address and nowhere else."""
    if not gerrit.is_http_only:
        return {}
    login = base64.b64encode(f"{gerrit.http_user or gerrit.user}:{gerrit.password}".encode()).decode()
    return {
        f"http.{gerrit.baseurl}/.extraHeader": f"Authorization: Basic {login}",
        "http.followRedirects": "false",
        "credential.helper": "",
    }
