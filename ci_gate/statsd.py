"""Metrics as statsd's lines over UDP, one datagram a value (outputs.md 6, ci-conf.md 12).

Beside the floors, since two processes send some: the service, and the built-in Gearman server. A line that is lost is
lost: nobody waits for metrics, and no trouble with them is trouble for anybody else.
"""

from __future__ import annotations

import logging
import re
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any

DEFAULT_PORT = 8125
RESOLVE_AGAIN_S = 60.0
UNSAFE = re.compile(r"[:|\s\x00-\x1f\x7f]")

log = logging.getLogger("zuul.Statsd")


class StatsdPortError(Exception):
    """``STATSD_PORT`` is no port. The text is for the operator."""


class StatsdLines:
    """Never waits and never raises once made. ``prefix`` stands before each name, with a dot between them.

    A host whose name cannot be resolved is asked for again; until then nothing is sent.
    """

    def __init__(self, host: str, port: int, prefix: str = "") -> None:
        self._host, self._port = host, port
        self._prefix = f"{prefix}." if prefix else ""
        self._gauges: dict[str, int] = {}
        self._socket: socket.socket | None = None
        self._address: Any = None
        self._searching = threading.Thread(target=self._search, name="statsd", daemon=True)
        if not self._resolve():
            self._searching.start()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], prefix: str = "") -> StatsdLines | None:
        """None without ``STATSD_HOST``. Raises StatsdPortError."""
        host = environment.get("STATSD_HOST")
        if not host:
            return None
        given = environment.get("STATSD_PREFIX", "").strip(".")
        return cls(host, port_of(environment), ".".join(each for each in (given, prefix) if each))

    def timing(self, name: str, milliseconds: int) -> None:
        self._send(f"{name}:{milliseconds}|ms")

    def incr(self, name: str) -> None:
        self._send(f"{name}:1|c")

    def gauge(self, name: str, value: int) -> None:
        """Sent when the value is another than before."""
        if self._gauges.get(name) != value:
            self._gauges[name] = value
            self._send(f"{name}:{value}|g")

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()

    def _send(self, line: str) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendto(f"{self._prefix}{line}".encode(errors="replace"), self._address)
        except OSError:
            return

    def _resolve(self) -> bool:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_DGRAM)[0]
            found = socket.socket(family, kind, protocol)
        except (OSError, UnicodeError) as problem:
            log.warning("STATSD_HOST %s: %s; no metrics are sent until it is found", self._host, problem)
            return False
        found.setblocking(False)
        self._address, self._socket = address, found
        return True

    def _search(self) -> None:
        time.sleep(RESOLVE_AGAIN_S)
        while not self._resolve():
            time.sleep(RESOLVE_AGAIN_S)
        log.info("STATSD_HOST %s is found: metrics are sent from now on", self._host)


def port_of(environment: Mapping[str, str]) -> int:
    """Raises StatsdPortError."""
    text = environment.get("STATSD_PORT") or str(DEFAULT_PORT)
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 0 < int(text) < 2**16:
        raise StatsdPortError(f'STATSD_PORT: "{text}" is not a port; set it to a number from 1 to 65535, or not at all')
    return int(text)


def part_of_name(text: str) -> str:
    """What stands for itself in a metric's name: characters that the protocol means something by become ``_``."""
    return UNSAFE.sub("_", text)
