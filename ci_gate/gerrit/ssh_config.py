"""What OpenSSH's configuration says of the way to a Gerrit, so that it is the same for events as for git.

Read are HostName, HostKeyAlias, ProxyCommand, ProxyJump and IdentityFile. Port and user come from ci.conf, as they do
for git: its addresses name both, and an address outweighs the configuration.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, replace
from pathlib import Path

import paramiko

from ci_gate.config.settings import GerritSettings
from ci_gate.gerrit.hostkeys import SSH_PORT

FILES = (Path("~/.ssh/config"), Path("/etc/ssh/ssh_config"))
EVERY_HOST = "\nHost *\n"
USED = re.compile(r"\s*(?:host|match|hostname|hostkeyalias|proxycommand|proxyjump|identityfile)\b", re.IGNORECASE)


class SshConfigError(Exception):
    """A configuration that cannot be read. The text is one line for the operator."""


@dataclass(frozen=True, slots=True)
class Route:
    """``host`` to connect to, or the command that connects; ``trusted`` are settings under which host keys are kept."""

    host: str
    trusted: GerritSettings
    proxy_command: str | None = None
    identity_files: tuple[Path, ...] = ()


def route_to(settings: GerritSettings) -> Route:
    """Reads files. Raises SshConfigError."""
    found = _lookup(settings)
    host = str(found.get("hostname", settings.server))
    alias = found.get("hostkeyalias")
    trusted = replace(settings, server=str(alias), port=SSH_PORT) if alias else replace(settings, server=host)
    files = found.get("identityfile", ())
    return Route(host, trusted, _proxy(found, host, settings.port), tuple(Path(each).expanduser() for each in files))


def _lookup(settings: GerritSettings) -> paramiko.SSHConfigDict:
    # What comes first counts: this stands for what the command line of ssh would say.
    text = f"{EVERY_HOST}Port {settings.port}\nUser {settings.user}\n"
    try:
        for path in FILES:
            text += EVERY_HOST + _lines_used(path.expanduser())
        return paramiko.SSHConfig.from_text(text).lookup(settings.server)
    except (OSError, UnicodeDecodeError, paramiko.SSHException) as problem:
        raise SshConfigError(f"cannot use the SSH configuration in {FILES[0]} or {FILES[1]}: {problem}") from problem


def _lines_used(path: Path) -> str:
    """Others have their own syntax, which nobody here has to understand."""
    if not path.exists():
        return ""
    return "\n".join(line for line in path.read_text(encoding="utf-8").splitlines() if USED.match(line))


def _proxy(found: paramiko.SSHConfigDict, host: str, port: int) -> str | None:
    command, jump = found.get("proxycommand"), found.get("proxyjump")
    if command and str(command).lower() != "none":
        return str(command)
    if jump and str(jump).lower() != "none":
        *before, last = str(jump).split(",")
        through = f"-J {shlex.quote(','.join(before))} " if before else ""
        name, _, jump_port = last.partition(":")
        at = f"-p {shlex.quote(jump_port)} " if jump_port else ""
        return f"ssh -o BatchMode=yes {through}{at}-W {shlex.quote(f'[{host}]:{port}')} {shlex.quote(name)}"
    return None
