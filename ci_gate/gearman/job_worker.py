"""Offers functions to a job server and does the jobs: the worker's side of Gearman, on the loop's thread.

Each lane is a connection with one job at a time, as the protocol has it; several lanes work side by side. While a job
is being done its lane says so now and then, so that whoever waits can tell a long job from a dead worker.

Not gear's worker: that one has a thread for each lane, waits on sockets without a deadline, and sends its small packets
into the delays of TCP.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog
from gear import constants

from ci_gate.gearman.packets import Packet, PacketStream, ProtocolError
from ci_gate.job_servers import Address

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 10.0
SIGN_OF_LIFE_S = 20.0

Handler = Callable[[bytes], Awaitable[bytes]]

log = structlog.stdlib.get_logger("zuul.MergeServer")


class JobWorker:
    """``functions`` take a job's data and give its result; one that raises fails the job. ``lanes`` at each server."""

    def __init__(self, servers: Sequence[Address], functions: Mapping[str, Handler], *, lanes: int, name: str) -> None:
        self._servers = servers
        self._functions = functions
        self._lanes = lanes
        self._name = name
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Until ``stop`` was called and the jobs under way are done. A lost server is tried again for ever."""
        async with asyncio.TaskGroup() as tasks:
            for server in self._servers:
                for number in range(self._lanes):
                    tasks.create_task(self._lane(server, number), name=f"lane {number} of {self._name} at {server}")

    def stop(self) -> None:
        """Take no more jobs."""
        self._stopping.set()

    async def _lane(self, server: Address, number: int) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._stopping.is_set():
            stream = None
            try:
                stream = await PacketStream.connect(server)
                await self._register(stream, number)
                if number == 0:
                    log.info("functions are offered", server=str(server), lanes=self._lanes)
                pause_s = FIRST_PAUSE_S
                await self._serve(stream)
            except (OSError, EOFError, TimeoutError, ProtocolError) as problem:
                if number == 0:
                    reason = str(problem) or type(problem).__name__
                    log.warning("no connection to the job server, trying on", server=str(server), reason=reason)
            finally:
                if stream is not None:
                    stream.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._stopping.wait()
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _register(self, stream: PacketStream, number: int) -> None:
        await stream.send(constants.SET_CLIENT_ID, f"{self._name}-{number}".encode())
        for function in self._functions:
            await stream.send(constants.CAN_DO, function.encode())

    async def _serve(self, stream: PacketStream) -> None:
        """Grab, work, grab again; sleep while there is nothing. Until told to stop, or the connection ends."""
        while not self._stopping.is_set():
            await stream.send(constants.GRAB_JOB_UNIQ)
            packet = await self._next(stream, constants.NO_JOB, constants.JOB_ASSIGN_UNIQ)
            if packet.kind == constants.JOB_ASSIGN_UNIQ:
                await self._work(stream, packet)
                continue
            await stream.send(constants.PRE_SLEEP)
            if not await self._sleep(stream):
                return

    async def _sleep(self, stream: PacketStream) -> bool:
        """Until there may be a job; False if it is time to stop. Raises as ``receive`` does."""
        woken = asyncio.create_task(self._next(stream, constants.NOOP))
        stopped = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait([woken, stopped], return_when=asyncio.FIRST_COMPLETED)
        finally:
            woken.cancel()
            stopped.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await woken
        return not self._stopping.is_set()

    async def _next(self, stream: PacketStream, *kinds: int) -> Packet:
        while True:
            packet = await stream.receive()
            if packet.kind in kinds:
                return packet
            if packet.kind == constants.ERROR:
                log.warning("the job server reports an error", error=packet.body.decode(errors="replace"))

    async def _work(self, stream: PacketStream, assigned: Packet) -> None:
        handle, function, _, data = assigned.arguments(4)
        life = asyncio.create_task(self._show_life(stream, handle))
        try:
            result = await self._functions[function.decode()](data)
        except Exception:
            log.exception("a job failed in an unexpected way", function=function.decode(errors="replace"))
            await stream.send(constants.WORK_FAIL, handle)
        else:
            await stream.send(constants.WORK_COMPLETE, handle, result)
        finally:
            life.cancel()

    async def _show_life(self, stream: PacketStream, handle: bytes) -> None:
        with contextlib.suppress(OSError):  # the lane finds out by itself
            while True:
                await stream.send(constants.WORK_STATUS, handle, b"0", b"0")
                await asyncio.sleep(SIGN_OF_LIFE_S)
