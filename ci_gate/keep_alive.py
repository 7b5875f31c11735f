"""How connections to a job server notice that the other side is gone without a word."""

from __future__ import annotations

import socket

PROBES = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))  # seconds, seconds, times
UNANSWERED = ("TCP_USER_TIMEOUT", 60_000)  # milliseconds: where something was sent, the system does not probe


def keep_alive(connection: socket.socket) -> None:
    """Dead peers are noticed within a minute, and small packets leave at once. Not every system has all options."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (*PROBES, UNANSWERED):
        if hasattr(socket, option):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
