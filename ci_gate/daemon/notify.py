"""systemd's readiness protocol and its watchdog: datagrams to ``$NOTIFY_SOCKET`` (sd_notify(3)). Silent where nobody
listens.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable


def notify(state: str) -> None:
    """``READY=1``, ``STOPPING=1``, ``WATCHDOG=1`` or ``STATUS=…``."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.sendto(state.encode(), address)


def watchdog_s() -> float | None:
    """After how many seconds without a word systemd kills this process; None: never (sd_watchdog_enabled(3))."""
    given, of = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID")
    if not given.isdecimal() or int(given) == 0 or (of and of != str(os.getpid())):
        return None
    return int(given) / 1e6


async def tell_watchdog(is_stuck: Callable[[], bool] = lambda: False) -> None:
    """At half of that time, and only while work goes on. Until cancelled.

    It is a task of the loop: one that hangs says nothing. ``is_stuck`` is asked each time.
    """
    limit_s = watchdog_s()
    while limit_s is not None:
        if not is_stuck():
            notify("WATCHDOG=1")
        await asyncio.sleep(limit_s / 2)
