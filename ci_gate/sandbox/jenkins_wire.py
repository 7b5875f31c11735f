"""Gearman's binary protocol as a worker speaks it. Used by ``jenkins.py``; shares nothing with the service's code."""

from __future__ import annotations

import asyncio
import socket
import struct

CAN_DO, CANT_DO, RESET_ABILITIES, PRE_SLEEP = 1, 2, 3, 4
NOOP, NO_JOB, GRAB_JOB_UNIQ, JOB_ASSIGN_UNIQ = 6, 10, 30, 31
SET_CLIENT_ID = 22
WORK_STATUS, WORK_COMPLETE, WORK_FAIL, WORK_EXCEPTION, WORK_DATA = 12, 13, 14, 25, 28

_HEADER = struct.Struct("!4sII")


class WorkerConnection:
    """One connection to a job server. Lost ones show as OSError or EOFError."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, host: str, port: int, deadline_s: float = 5.0) -> WorkerConnection:
        async with asyncio.timeout(deadline_s):
            reader, writer = await asyncio.open_connection(host, port)
        connected = writer.get_extra_info("socket")
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return cls(reader, writer)

    def send(self, packet_type: int, *arguments: bytes) -> None:
        """Does not wait; what goes to a lost connection is lost."""
        body = b"\x00".join(arguments)
        self._writer.write(_HEADER.pack(b"\x00REQ", packet_type, len(body)) + body)

    async def receive(self) -> tuple[int, bytes]:
        """The next packet's type and body."""
        _, packet_type, size = _HEADER.unpack(await self._reader.readexactly(_HEADER.size))
        return packet_type, await self._reader.readexactly(size)

    async def flush(self) -> None:
        await self._writer.drain()

    def close(self) -> None:
        self._writer.close()

    def cut(self) -> None:
        """End it without a word, as a machine that dies."""
        self._writer.transport.abort()
