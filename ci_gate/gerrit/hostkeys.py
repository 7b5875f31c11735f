"""Which host keys are trusted: ``host_key_check`` yes, accept-new or no (gerrit-wire.md 2).

An unknown key is recorded under accept-new, with a warning; a changed one is refused with the command that mends it.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path

import paramiko
import structlog

from ci_gate.config.settings import GerritSettings
from ci_gate.ssh_config import SSH_PORT

log = structlog.stdlib.get_logger("zuul.GerritConnection")


class HostKeyError(Exception):
    """The host key is not to be trusted; the text says what to do."""


def host_name(settings: GerritSettings) -> str:
    """As known_hosts files write it: ``[host]:port`` unless the port is 22."""
    return settings.server if settings.port == SSH_PORT else f"[{settings.server}]:{settings.port}"


def check_host_key(settings: GerritSettings, key: paramiko.PKey, usual: Iterable[Path]) -> None:
    """``usual`` are OpenSSH's files. Blocking: reads files, may write one. Raises HostKeyError."""
    if settings.host_key_check == "no":
        return
    files = _files(settings, usual)
    known = [(path, entry) for path in files for entry in _entries(path, host_name(settings))]
    if any(entry == key for _, entry in known):
        return
    changed = [(path, entry) for path, entry in known if entry.get_name() == key.get_name()]
    if changed or known:
        raise HostKeyError(_changed_text(settings, key, [path for path, _ in changed or known]))
    if settings.host_key_check == "yes":
        raise HostKeyError(
            f"the host key of {host_name(settings)} is unknown ({_describe(key)}) and host_key_check is yes; "
            f"compare the fingerprint, then add it: ssh-keyscan -p {settings.port} {settings.server} "
            f">> {shlex.quote(str(files[0]))}"
        )
    _record(settings, key)


def known_types(settings: GerritSettings, usual: Iterable[Path]) -> set[str]:
    """Of which types keys of the host are known. Blocking: reads files. Raises HostKeyError."""
    if settings.host_key_check == "no":
        return set()
    return {entry.get_name() for path in _files(settings, usual) for entry in _entries(path, host_name(settings))}


def _files(settings: GerritSettings, usual: Iterable[Path]) -> list[Path]:
    given = [settings.known_hosts] if settings.known_hosts else [path.expanduser() for path in usual]
    return [*given, *([settings.accepted_hosts] if settings.accepted_hosts else [])]


def _entries(path: Path, name: str) -> list[paramiko.PKey]:
    keys = paramiko.HostKeys()
    try:
        keys.load(str(path))
    except FileNotFoundError:
        return []
    except (OSError, paramiko.SSHException) as problem:
        raise HostKeyError(f"cannot read the known hosts in {path}: {problem}; mend or remove that file") from problem
    found = keys.lookup(name)
    return list(found.values()) if found else []


def _changed_text(settings: GerritSettings, key: paramiko.PKey, paths: list[Path]) -> str:
    name = shlex.quote(host_name(settings))
    mends = " && ".join(f"ssh-keygen -R {name} -f {shlex.quote(str(path))}" for path in dict.fromkeys(paths))
    return (
        f"the host key of {host_name(settings)} has CHANGED (now {_describe(key)}): somebody may be in between. "
        f"If the change is rightful, forget the old key with: {mends}"
    )


def _record(settings: GerritSettings, key: paramiko.PKey) -> None:
    log.warning(
        "accepted a host key that was not known", host=host_name(settings), key=_describe(key),
        kept_in=str(settings.accepted_hosts),
    )  # fmt: skip
    if settings.accepted_hosts is None:
        return
    settings.accepted_hosts.parent.mkdir(parents=True, exist_ok=True)
    with settings.accepted_hosts.open("a", encoding="ascii") as file:
        file.write(f"{host_name(settings)} {key.get_name()} {key.get_base64()}\n")


def _describe(key: paramiko.PKey) -> str:
    return f"{key.get_name()} {key.fingerprint}"
