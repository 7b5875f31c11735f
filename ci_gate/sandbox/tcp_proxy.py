"""A TCP proxy on loopback that loses connections where a test says. It cannot read what it carries: that is SSH."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

HOST = "127.0.0.1"
CHUNK = 64 * 1024


@dataclass(frozen=True)
class Cut:
    """At which packet, counted from now on, and from which side; that packet is the first that is lost.

    ``within``: so many of its bytes still pass.
    """

    from_client: bool
    packet: int
    within: int = 0

    def __str__(self) -> str:
        return f"packet-{self.packet}-from-{'client' if self.from_client else 'server'}-byte-{self.within}"


class TcpProxy:
    """``cut_all`` drops what there is; ``plan`` waits for a packet. ``closed``: nobody is let in."""

    def __init__(self, to_port: int) -> None:
        self.port = 0
        self.closed = False
        self.bytes_from_server = 0
        self.cut_done = asyncio.Event()
        self._to_port = to_port
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._planned: Cut | None = None
        self._seen = 0
        self._cut_at_byte: int | None = None

    def plan(self, cut: Cut) -> None:
        self._planned, self._seen = cut, 0
        self.cut_done.clear()

    def cut_after(self, from_server: int) -> None:
        """Cut everything when so many bytes more have come from the server."""
        self._cut_at_byte = self.bytes_from_server + from_server
        self.cut_done.clear()

    def cut_all(self) -> None:
        for each in self._writers:
            each.transport.abort()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def close(self) -> None:
        self.closed = True
        self.cut_all()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.closed:
            writer.transport.abort()
            return
        try:
            there, onward = await asyncio.open_connection(HOST, self._to_port)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, onward}
        try:
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._carry(reader, onward, from_client=True))
                ways.create_task(self._carry(there, writer, from_client=False))
        finally:
            self._writers -= {writer, onward}
            for each in (writer, onward):
                each.transport.abort()

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, from_client: bool) -> None:
        with suppress(OSError):
            while data := await source.read(CHUNK):
                passing = self._let_pass(data, from_client=from_client)
                target.write(passing)
                await target.drain()
                if len(passing) < len(data):
                    self._planned = self._cut_at_byte = None
                    self.cut_done.set()
                    self.cut_all()
        target.close()

    def _let_pass(self, data: bytes, *, from_client: bool) -> bytes:
        if not from_client:
            self.bytes_from_server += len(data)
            if self._cut_at_byte is not None and self.bytes_from_server >= self._cut_at_byte:
                return data[: max(0, len(data) - 1 - (self.bytes_from_server - self._cut_at_byte))]
        if self._planned is None or self._planned.from_client != from_client:
            return data
        self._seen += 1
        if self._seen < self._planned.packet:
            return data
        return data[: min(self._planned.within, len(data) - 1)]


@asynccontextmanager
async def tcp_proxy(to_port: int) -> AsyncIterator[TcpProxy]:
    proxy = TcpProxy(to_port)
    server = await asyncio.start_server(proxy.accept, HOST, 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.close()
