"""One SSH connection to Gerrit, opened within a deadline or refused with one clear line.

Everything here blocks: callers run it in threads of their own.
"""

from __future__ import annotations

import getpass
import socket
import stat
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

import paramiko
import structlog

from ci_gate.config.settings import GerritSettings
from ci_gate.gerrit import attempts
from ci_gate.gerrit.hostkeys import HostKeyError, check_host_key, known_types
from ci_gate.gerrit.proxy import ProxySocket
from ci_gate.ssh_config import Route, SshConfigError, route_to

CONNECT_S = 20.0
DEFAULT_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")

log = structlog.stdlib.get_logger("zuul.GerritConnection")


class ConnectionFailedError(Exception):
    """No connection; nothing was sent. The text is one line for the operator."""


class AccountRefusedError(ConnectionFailedError):
    """Gerrit was reached and does not let us in: trying again soon is no use."""


class HostKeyRefusedError(ConnectionFailedError):
    """What answers is not the server that is known by that name, or is not known at all."""


def check_key(settings: GerritSettings) -> str | None:
    """What is wrong with the key file of a connection, for start-up; None if it can be used."""
    if settings.sshkey is None or settings.is_http_only:
        return None
    try:
        load_key(settings.sshkey)
    except ConnectionFailedError as problem:
        return str(problem)
    return None


def load_key(path: Path) -> paramiko.PKey:
    """Raises ConnectionFailedError: missing, unreadable, encrypted, or no key at all."""
    try:
        mode = path.stat().st_mode
        key = paramiko.PKey.from_path(path)
    except FileNotFoundError:
        raise ConnectionFailedError(f"key file {path} does not exist; set sshkey to the private key") from None
    except PermissionError:
        raise ConnectionFailedError(
            f"key file {path} cannot be read by user {getpass.getuser()}; try: chown {getpass.getuser()} {path}"
        ) from None
    except (paramiko.PasswordRequiredException, TypeError):  # the latter from cryptography, for PEM files
        raise ConnectionFailedError(
            f"key file {path} is encrypted; ci-gate cannot ask for a passphrase: "
            f"use a key without one, or: ssh-keygen -p -N '' -f {path}"
        ) from None
    except Exception as problem:  # noqa: BLE001 - paramiko and cryptography raise whatever the bytes lead to
        raise ConnectionFailedError(f"key file {path} is not a private key that can be used: {problem}") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConnectionFailedError(f"key file {path} may be read by others; try: chmod 600 {path}")
    return key


def connect(settings: GerritSettings) -> paramiko.Transport:
    """A transport that is logged in. Waits for its turn (``attempts``). Raises ConnectionFailedError."""
    server = (settings.server, settings.port)
    refusal = attempts.ATTEMPTS.refusal(server, settings.user)
    if refusal is not None:
        raise AccountRefusedError(refusal)
    try:
        route = route_to(settings)
    except SshConfigError as problem:
        raise ConnectionFailedError(str(problem)) from problem
    attempts.ATTEMPTS.wait_for_turn(server)
    try:
        transport = _connect(settings, route)
    except AccountRefusedError as problem:
        attempts.ATTEMPTS.refused(server, settings.user, str(problem))
        raise
    attempts.ATTEMPTS.succeeded(server, settings.user)
    return transport


def _connect(settings: GerritSettings, route: Route) -> paramiko.Transport:
    address = f"{settings.server}:{settings.port}"
    transport = paramiko.Transport(_socket(settings, route))
    transport.banner_timeout = transport.auth_timeout = CONNECT_S
    transport.daemon = True
    try:
        _prefer(transport, known_types(route.trusted, route.known_hosts))
        transport.start_client(timeout=CONNECT_S)
        check_host_key(route.trusted, transport.get_remote_server_key(), route.known_hosts)
        _log_in(settings, route, transport)
    except ConnectionFailedError:
        _discard(transport)
        raise
    except HostKeyError as problem:
        _discard(transport)
        raise HostKeyRefusedError(str(problem)) from problem
    except (paramiko.SSHException, OSError, EOFError) as problem:
        _discard(transport)
        raise ConnectionFailedError(f"no SSH session with Gerrit at {address}: {failure_text(problem)}") from problem
    transport.set_keepalive(settings.keepalive_s)
    return transport


def _socket(settings: GerritSettings, route: Route) -> socket.socket:
    try:
        if route.proxy_command is not None:
            return ProxySocket.open(route.proxy_command)
        sock = socket.create_connection((route.host, settings.port), timeout=CONNECT_S)
    except OSError as problem:
        address = f"{settings.server}:{settings.port}"
        raise ConnectionFailedError(f"cannot reach Gerrit at {address}: {problem}") from problem
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _prefer(transport: paramiko.Transport, types: Collection[str]) -> None:
    """Ask for a host key of a type that is known: a server has one of each, and another one tells nothing."""
    options = transport.get_security_options()
    offered = tuple(options.key_types)
    # The types of RSA signatures have names of their own; the key's is the oldest one's.
    known = [each for each in offered if each in types or (each.startswith("rsa-") and "ssh-rsa" in types)]
    options.key_types = (*known, *(each for each in offered if each not in known))


def _log_in(settings: GerritSettings, route: Route, transport: paramiko.Transport) -> None:
    refused: list[str] = []
    for key in _keys(settings, route):
        try:
            transport.auth_publickey(settings.user, key)
        except paramiko.AuthenticationException as problem:
            if not transport.is_active():  # it hung up in place of an answer, as Gerrit does with too many connections
                raise ConnectionFailedError(
                    f"Gerrit at {settings.server}:{settings.port} closed the connection while user {settings.user} "
                    "was logging in; has the account too many connections?"
                ) from problem
            refused.append(f"{key.get_name()} {key.fingerprint}")
        else:
            return
    tried = ", ".join(refused) if refused else "no key was found: set sshkey"
    raise AccountRefusedError(
        f"Gerrit at {settings.server}:{settings.port} does not let user {settings.user} in ({tried}); "
        "add the public key to that account's SSH keys"
    )


def _keys(settings: GerritSettings, route: Route) -> Iterator[paramiko.PKey]:
    if settings.sshkey is not None:
        yield load_key(settings.sshkey)
        return
    agent = paramiko.Agent()
    try:
        yield from agent.get_keys()
    finally:
        agent.close()
    for path in (*route.identity_files, *(Path("~/.ssh").expanduser() / name for name in DEFAULT_KEYS)):
        with suppress(ConnectionFailedError):
            yield load_key(path)


def _discard(transport: paramiko.Transport) -> None:
    transport.close()
    transport.join(5)


def failure_text(problem: BaseException) -> str:
    """What an exception of paramiko says; many say nothing."""
    text = str(problem) or type(problem).__name__
    if isinstance(problem, paramiko.ssh_exception.IncompatiblePeer):
        text += "; a Gerrit that offers nothing newer than SHA-1 needs an older paramiko: pip install 'paramiko<5'"
    return text
