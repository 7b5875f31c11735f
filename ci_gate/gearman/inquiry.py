"""Questions to a job server, each on a connection of its own, so that silence delays nothing else.

gear's server never answers what it does not know, and gearmand closes the connection on some of it
(gearman-jenkins.md 1 and 7). Used by ``launcher.py``; knows nothing of builds.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from enum import Enum

import gear

from ci_gate.gearman.wire import GET_STATUS_UNIQUE, PRODUCT
from ci_gate.job_servers import Address

SILENCE_S = 2.0  # gear's server does not answer "version" at all
ANSWER_S = 10.0
LONGEST_LINE = 16 * 2**20  # all functions of one worker
STATUS_NUMBERS = 3  # jobs, running jobs, workers
HEADER = struct.Struct("!4sII")


class ServerKind(Enum):
    OURS = "ci-gate"
    GEARMAND = "gearmand"
    GEAR = "gear"


class Standing(Enum):
    """What a server says of a unique id."""

    UNKNOWN = "unknown"
    WAITING = "waiting"
    RUNNING = "running"


class InquiryError(Exception):
    """No answer, or none that can be understood."""


async def identify(server: Address, *, silence_s: float = SILENCE_S) -> tuple[ServerKind, str]:
    """Which server it is, and its version if it says so. Takes ``silence_s`` where it is gear's."""
    async with _connection(server, ANSWER_S) as (reader, writer):
        writer.write(b"version\n")
        try:
            async with asyncio.timeout(silence_s):
                answer = (await reader.readline()).decode(errors="replace")
        except TimeoutError:
            return ServerKind.GEAR, ""
        match answer.split():
            case ["OK", product, version] if product == PRODUCT:
                return ServerKind.OURS, version
            case ["OK", version]:
                return ServerKind.GEARMAND, version
        return ServerKind.GEAR, ""


async def registered_functions(server: Address) -> dict[str, int]:
    """Every function that was ever offered to this server, and how many workers offer it now, 0 as well (4.2)."""
    async with _connection(server, ANSWER_S) as (reader, writer):
        writer.write(b"status\n")
        workers = {}
        while (line := (await reader.readline()).decode(errors="replace").rstrip("\r\n")) != ".":
            name, *numbers = line.split("\t")
            if len(numbers) != STATUS_NUMBERS:
                raise InquiryError(f"status: unexpected answer {line[:80]!r}")
            workers[name] = int(numbers[-1])
        return workers


async def idle_workers(server: Address, functions: Iterable[str], *, silence_s: float = SILENCE_S) -> dict[str, int]:
    """How many workers at least offer these and do nothing, of those functions that have jobs waiting.

    Our server says so. With others every job that runs is taken to keep one of the workers busy that could do it.
    """
    async with _connection(server, ANSWER_S) as (reader, writer):
        writer.write(b"idle\n")
        try:
            async with asyncio.timeout(silence_s):
                first = await reader.readline()
        except TimeoutError:
            first = b"ERR"
        if not first.startswith(b"ERR"):
            return {name: int(idle) for name, _, idle in [each.split("\t") async for each in _lines(reader, first)]}
    jobs = {name: (int(total) - int(running), int(running)) for name, total, running in await _status(server)}
    offered = await _offered(server)
    idle = {}
    for function in functions:
        able = [each for each in offered if function in each]
        busy = sum(jobs.get(name, (0, 0))[1] for name in frozenset().union(*able))
        if jobs.get(function, (0, 0))[0] > 0 and len(able) > busy:
            idle[function] = len(able) - busy
    return idle


async def _status(server: Address) -> list[tuple[str, str, str]]:
    async with _connection(server, ANSWER_S) as (reader, writer):
        writer.write(b"status\n")
        lines = [each.split("\t") async for each in _lines(reader)]
        return [(each[0], each[1], each[2]) for each in lines if len(each) == 1 + STATUS_NUMBERS]


async def _offered(server: Address) -> list[frozenset[str]]:
    """The functions of each worker."""
    async with _connection(server, ANSWER_S) as (reader, writer):
        writer.write(b"workers\n")
        return [frozenset(each.partition(" :")[2].split()) async for each in _lines(reader)]


async def _lines(reader: asyncio.StreamReader, first: bytes | None = None) -> AsyncIterator[str]:
    """Of an answer, up to the dot that ends it."""
    line = await reader.readline() if first is None else first
    while (text := line.decode(errors="replace").rstrip("\r\n")) != ".":
        if not line:
            raise EOFError("the connection ended within an answer")
        yield text
        line = await reader.readline()


async def standings(server: Address, uniques: Iterable[str]) -> dict[str, Standing]:
    """What the server knows of these jobs. Only for our server and gearmand."""
    async with _connection(server, ANSWER_S) as (reader, writer):
        asked = list(uniques)
        for unique in asked:
            writer.write(gear.Packet(gear.constants.REQ, GET_STATUS_UNIQUE, unique.encode()).toBinary())
        return dict([await _standing(reader) for _ in asked])


async def _standing(reader: asyncio.StreamReader) -> tuple[str, Standing]:
    _, _, size = HEADER.unpack(await reader.readexactly(HEADER.size))
    unique, known, running, *_ = (await reader.readexactly(size)).decode().split("\x00")
    if known != "1":
        return unique, Standing.UNKNOWN
    return unique, Standing.RUNNING if running == "1" else Standing.WAITING


@asynccontextmanager
async def _connection(
    server: Address, deadline_s: float
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """All that can go wrong with it becomes an InquiryError."""
    writer = None
    try:
        async with asyncio.timeout(deadline_s):
            reader, writer = await asyncio.open_connection(server.host, server.port, ssl=server.tls, limit=LONGEST_LINE)
            writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            yield reader, writer
    except TimeoutError as error:
        raise InquiryError(f"{server} does not answer within {deadline_s:g} s") from error
    except (OSError, EOFError, ValueError) as error:
        raise InquiryError(f"{server}: {error}") from error
    finally:
        if writer is not None:
            writer.transport.abort()  # close() would wait for a server that does not read
