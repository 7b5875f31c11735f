"""The built-in job server's statsd lines (outputs.md 6), with the methods that gear calls on a statsd client."""

from __future__ import annotations

import socket
from collections.abc import Mapping

PREFIX = "zuul.geard"


class StatsdLines:
    """Sends one datagram a value; a lost one is lost. Never raises once made."""

    def __init__(self, host: str, port: int) -> None:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        self._address = address
        self._socket = socket.socket(family, kind, protocol)
        self._socket.setblocking(False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> StatsdLines | None:
        """None without ``STATSD_HOST`` (ci-conf.md 12). OSError, ValueError: the address is unusable."""
        host = environment.get("STATSD_HOST")
        return cls(host, int(environment.get("STATSD_PORT", "8125"))) if host else None

    def timing(self, name: str, milliseconds: int) -> None:
        self._send(f"{PREFIX}.{name}:{milliseconds}|ms")

    def incr(self, name: str) -> None:
        self._send(f"{PREFIX}.{name}:1|c")

    def gauge(self, name: str, value: int) -> None:
        self._send(f"{PREFIX}.{name}:{value}|g")

    def close(self) -> None:
        self._socket.close()

    def _send(self, line: str) -> None:
        try:
            self._socket.sendto(line.encode(), self._address)
        except OSError:
            return
