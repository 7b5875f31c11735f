"""How git reaches a Gerrit over SSH: the ssh command line for one connection.

It is set for one process at a time. Nothing here may ask a person: a prompt would hang until the deadline. Host
keys are judged as on the event stream (``spec/gerrit-wire.md`` 2, ``spec/merger.md`` 6).
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from ci_gate.config.settings import GerritSettings
from ci_gate.ssh_config import user_known_hosts

CONNECT_TIMEOUT_S = 30
ALIVE_INTERVAL_S = 15
ALIVE_COUNT = 3


def ssh_variables(gerrit: GerritSettings) -> dict[str, str]:
    """The environment for git commands that talk to this Gerrit. The port is part of the URL."""
    options = [
        "BatchMode=yes",
        f"ConnectTimeout={CONNECT_TIMEOUT_S}",
        f"ServerAliveInterval={ALIVE_INTERVAL_S}",
        f"ServerAliveCountMax={ALIVE_COUNT}",
        "HashKnownHosts=no",
        "UpdateHostKeys=no",
        *_host_key_options(gerrit),
    ]
    command = ["ssh"]
    if gerrit.sshkey is not None:
        command += ["-i", _literal(gerrit.sshkey), "-o", "IdentitiesOnly=yes"]
    for option in options:
        command += ["-o", option]
    return {"GIT_SSH_COMMAND": shlex.join(command), "GIT_SSH_VARIANT": "ssh"}


def _host_key_options(gerrit: GerritSettings) -> list[str]:
    if gerrit.host_key_check == "no":
        return ["StrictHostKeyChecking=no", f"UserKnownHostsFile={os.devnull}", "LogLevel=ERROR"]
    # A key that is accepted now goes into the first file.
    files = [_literal(gerrit.accepted_hosts)] if gerrit.accepted_hosts is not None else []
    options = [f"StrictHostKeyChecking={gerrit.host_key_check}"]
    if gerrit.known_hosts is not None:
        files.append(_literal(gerrit.known_hosts))
        options.append(f"GlobalKnownHostsFile={os.devnull}")
    elif files:
        files += map(_literal, user_known_hosts(gerrit))
    if files:
        options.append("UserKnownHostsFile=" + " ".join(f'"{each}"' for each in files))
    return options


def _literal(path: Path) -> str:
    """ssh replaces ``%`` and what follows in the names of files."""
    return str(path).replace("%", "%%")
