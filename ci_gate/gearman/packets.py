"""Packets of the binary protocol over asyncio streams (gearman-jenkins.md 1)."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from ci_gate.job_servers import Address
from ci_gate.keep_alive import keep_alive

CONNECT_S = 10.0
LARGEST = 256 * 1024 * 1024

_HEADER = struct.Struct("!4sII")
_REQUEST, _RESPONSE = b"\0REQ", b"\0RES"


class ProtocolError(Exception):
    """The other side does not speak Gearman, or the connection ended within a packet."""


@dataclass(frozen=True, slots=True)
class Packet:
    """``arguments`` are as many as the kind has; the last one may have any bytes in it."""

    kind: int
    body: bytes

    def arguments(self, count: int) -> Sequence[bytes]:
        """Raises ProtocolError."""
        found = self.body.split(b"\0", count - 1)
        if len(found) != count:
            raise ProtocolError(f"packet {self.kind} has {len(found)} arguments instead of {count}")
        return found


class PacketStream:
    """One connection to a job server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, server: Address) -> PacketStream:
        """Raises OSError and TimeoutError."""
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await asyncio.open_connection(server.host, server.port, ssl=server.tls)
        keep_alive(writer.get_extra_info("socket"))
        return cls(reader, writer)

    async def send(self, kind: int, *arguments: bytes) -> None:
        """Raises OSError."""
        body = b"\0".join(arguments)
        self._writer.write(_HEADER.pack(_REQUEST, kind, len(body)) + body)
        await self._writer.drain()

    async def receive(self) -> Packet:
        """Raises OSError, EOFError and ProtocolError."""
        magic, kind, size = _HEADER.unpack(await self._reader.readexactly(_HEADER.size))
        if magic != _RESPONSE or size > LARGEST:
            raise ProtocolError("what came is no packet of a job server")
        return Packet(kind, await self._reader.readexactly(size))

    def close(self) -> None:
        self._writer.transport.abort()  # close() would wait for a server that does not read
