"""systemd's readiness protocol: one datagram to ``$NOTIFY_SOCKET`` (sd_notify(3)). Silent where nobody listens."""

from __future__ import annotations

import os
import socket


def notify(state: str) -> None:
    """``READY=1``, ``STOPPING=1`` or ``STATUS=…``."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.sendto(state.encode(), address)
