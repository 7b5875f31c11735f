"""What OpenSSH's configuration says of the way to a Gerrit, so that it is the same for events as for git.

Read are HostName, HostKeyAlias, ProxyCommand, ProxyJump, IdentityFile, UserKnownHostsFile and GlobalKnownHostsFile, in
files that Include names too. Port and user come from ci.conf, as they do for git: its addresses name both, and an
address outweighs the configuration.
"""

from __future__ import annotations

import getpass
import glob
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote, unquote

import paramiko

from ci_gate.config.settings import GerritSettings

SSH_PORT = 22
GLOBAL_FILES = (Path("/etc/ssh/ssh_known_hosts"), Path("/etc/ssh/ssh_known_hosts2"))
USER_FILES = (Path("~/.ssh/known_hosts"), Path("~/.ssh/known_hosts2"))
FILES = (Path("~/.ssh/config"), Path("/etc/ssh/ssh_config"))
EVERY_HOST = "Host *"
MARK = "/applies"
DEEPEST = 16  # files that include each other, as in OpenSSH
BLOCK = re.compile(r"\s*(?:host|match)\b", re.IGNORECASE)
INCLUDE = re.compile(r"\s*include[\s=]+(?P<patterns>.*)", re.IGNORECASE)
KNOWN_HOSTS = re.compile(r"\s*(?P<key>(?:user|global)knownhostsfile)[\s=]+(?P<paths>.*)", re.IGNORECASE)
USED = re.compile(r"\s*(?:hostname|hostkeyalias|proxycommand|proxyjump|identityfile)\b", re.IGNORECASE)


class SshConfigError(Exception):
    """A configuration that cannot be read. The text is one line for the operator."""


@dataclass(frozen=True, slots=True)
class Route:
    """``host`` to connect to, or the command that connects; ``trusted`` are settings under which host keys are kept.

    ``known_hosts`` are the files that hold them, unless the settings name one; ``users_own`` among them.
    """

    host: str
    trusted: GerritSettings
    known_hosts: tuple[Path, ...]
    users_own: tuple[Path, ...]
    proxy_command: str | None = None
    identity_files: tuple[Path, ...] = ()


def route_to(settings: GerritSettings) -> Route:
    """Reads files. Raises SshConfigError."""
    found = _lookup(settings)
    host = str(found.get("hostname", settings.server))
    alias = found.get("hostkeyalias")
    trusted = replace(settings, server=str(alias), port=SSH_PORT) if alias else replace(settings, server=host)
    files = tuple(Path(each).expanduser() for each in found.get("identityfile", ()))
    names = {"h": host, "n": settings.server, "k": str(alias or host), "p": str(settings.port), "r": settings.user}
    users_own = _files(found.get("userknownhostsfile"), USER_FILES, names)
    known_hosts = (*_files(found.get("globalknownhostsfile"), GLOBAL_FILES, names), *users_own)
    return Route(host, trusted, known_hosts, users_own, _proxy(found, host, settings.port), files)


def user_known_hosts(settings: GerritSettings) -> tuple[Path, ...]:
    """The files where OpenSSH looks for the user's known host keys. A configuration that cannot be read names none."""
    try:
        return route_to(settings).users_own
    except SshConfigError:
        return USER_FILES


def _lookup(settings: GerritSettings) -> paramiko.SSHConfigDict:
    try:
        text = _Text(settings)
        for path in FILES:
            text.read(path.expanduser(), path.expanduser().parent)
        return text.lookup()
    except (OSError, ValueError, paramiko.SSHException) as problem:  # the second from bytes that are no text, too
        raise SshConfigError(f"cannot use the SSH configuration in {FILES[0]} or {FILES[1]}: {problem}") from problem


class _Text:
    """All files in one, of what is used here: nobody has to understand the syntax of the rest.

    paramiko does not know Include. What a file includes takes the place of that line, if the block where it stands
    applies; afterwards that block goes on.
    """

    def __init__(self, settings: GerritSettings) -> None:
        # What comes first counts: this stands for what the command line of ssh would say.
        self._text = f"{EVERY_HOST}\nPort {settings.port}\nUser {settings.user}\n"
        self._name = settings.server

    def read(self, path: Path, folder: Path, depth: int = 0) -> None:
        """``folder``: where relative names in Include begin. Raises OSError, ValueError or SSHException."""
        if depth > DEEPEST:
            raise ValueError(f"{path} is included too deep")
        if not path.exists():
            return
        block = EVERY_HOST
        self._add(block)
        for line in path.read_text(encoding="utf-8").splitlines():
            included, known = INCLUDE.match(line), KNOWN_HOSTS.match(line)
            if BLOCK.match(line):
                block = line
                self._add(line)
            elif included is not None and self._applies(block):
                for each in _included(included["patterns"], folder):
                    self.read(each, folder, depth + 1)
                self._add(block)
            elif known is not None:
                paths = shlex.split(known["paths"], comments=True)
                self._add(f"{known['key']} {' '.join(map(quote, paths))}")
            elif USED.match(line):
                self._add(line)

    def lookup(self) -> paramiko.SSHConfigDict:
        return paramiko.SSHConfig.from_text(self._text).lookup(self._name)

    def _add(self, line: str) -> None:
        self._text += f"{line}\n"

    def _applies(self, block: str) -> bool:
        if block == EVERY_HOST:
            return True
        text = f"{self._text}{block}\nIdentityFile {MARK}\n"
        return MARK in paramiko.SSHConfig.from_text(text).lookup(self._name).get("identityfile", ())


def _included(patterns: str, folder: Path) -> Iterator[Path]:
    for each in shlex.split(patterns, comments=True):
        yield from map(Path, sorted(glob.glob(str(folder / Path(each).expanduser()))))  # noqa: PTH207  # Path's takes no absolute pattern


def _files(given: object, usual: tuple[Path, ...], names: dict[str, str]) -> tuple[Path, ...]:
    """Of known host keys. ``names`` are what stands for ``%h`` and the like."""
    if given is None:
        return usual
    known = names | {"%": "%", "d": str(Path.home()), "u": getpass.getuser()}

    def path_of(text: str) -> Path:
        text = re.sub("%(.)", lambda token: known.get(token[1], token[0]), unquote(text))
        return Path(re.sub(r"\$\{(\w+)\}", lambda name: os.environ.get(name[1], ""), text)).expanduser()

    return tuple(path_of(each) for each in str(given).split() if each.lower() != "none")


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
