"""Is a port free for a service that does not run yet?"""

from __future__ import annotations

import asyncio
import errno
import socket

from ci_gate.doctor.check import Finding, wrong


async def what_is_in_the_way(address: str, port: int, setting: str) -> Finding | None:
    """What keeps us from listening there, None if nothing does. The port is held for a moment only."""
    return await asyncio.to_thread(_try, address, port, setting)


def _try(address: str, port: int, setting: str) -> Finding | None:
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            address or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # else one that has just stopped is in the way
            probe.bind(where)
    except OSError as problem:
        if problem.errno == errno.EADDRINUSE:
            return wrong(
                f"port {port} is held by another program",
                f"find it: ss -ltnp 'sport = :{port}'   or set {setting} to another",
            )
        if problem.errno == errno.EACCES:
            return wrong(f"port {port} is for root only", f"set {setting} to one above 1023")
        return wrong(
            f"nobody can listen at {address or 'any address'}, port {port}: {problem.strerror}",
            "set listen_address to an address of this machine",
        )
    return None
