"""Commands over one kept SSH connection: a few at a time, each with a deadline, none holding up the others.

The connection is opened when it is first needed and again when it broke. A command whose outcome is not known is
never repeated here, unless its caller says that repeating does no harm.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

import paramiko
import structlog

from ci_gate.config.settings import GerritSettings
from ci_gate.gerrit import attempts
from ci_gate.gerrit.batching import Batching
from ci_gate.gerrit.connection import ConnectionFailedError, connect, failure_text
from ci_gate.gerrit.peer import Peer

CHUNK = 256 * 1024
MOST_OUTPUT = 64 * 1024 * 1024
LONGEST_PAUSE_S = 10.0  # between two tries to connect, while commands fail at once
MOST_TRIES = 3
REFUSED_WITHOUT_REASON = "Unable to open channel."  # paramiko's text if another refusal took the reason along

T = TypeVar("T")

log = structlog.stdlib.get_logger("zuul.GerritConnection")


@dataclass(frozen=True, slots=True)
class CommandResult:
    exit_status: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class _Asked:
    command: str
    stdin: bytes | None
    environment: Mapping[str, str]


class NotSentError(Exception):
    """Gerrit could not be reached: the command was certainly not carried out."""


class HeldBackError(NotSentError):
    """It is not to be sent now, nor again at once; nothing is wrong with the connection."""


class _NoConnectionError(NotSentError):
    """None could be made just now, so that there is no use in trying at once."""


class _ChannelRefusedError(NotSentError):
    """The connection stands, and Gerrit wants no more at a time."""


class OutcomeUnknownError(Exception):
    """The connection broke or the time was over after the command had been sent."""


class CommandPool(Peer):
    """Commands over one connection, which is opened for the first and again when it broke. For the loop's thread."""

    def __init__(self, settings: GerritSettings, may_send: Callable[[], bool] = lambda: True) -> None:
        super().__init__(settings, may_send)
        self.batchings: dict[tuple[str, str], Batching] = {}  # of those who ask for single changes
        self._failed_at = 0.0
        self._pause_s = 0.0
        self._failure = ""
        self._opening = asyncio.Lock()
        self._transport: paramiko.Transport | None = None
        # A stuck command keeps its thread for some moments after its slot is free.
        self._threads = ThreadPoolExecutor(2 * settings.max_ssh_channels, f"gerrit {settings.name}")

    async def run(
        self,
        command: str | Callable[[], str],
        *,
        deadline_s: float,
        stdin: bytes | None = None,
        repeatable: bool = False,
        urgent: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> CommandResult:
        """Carry out a command. Raises NotSentError or OutcomeUnknownError.

        The deadline counts from the moment when the command's turn has come, upon which a ``command`` that is a
        function is asked for its text. ``urgent``: before all that are not. ``environment`` is what the server is
        asked to set for it; not every server does.
        """
        while True:
            async with self.turn(urgent=urgent) as begun:
                text = command if isinstance(command, str) else command()
                try:
                    asked = _Asked(text, stdin, environment or {})
                    return await self._run(asked, begun + deadline_s, repeatable=repeatable)
                except _ChannelRefusedError as problem:
                    if not self.pace.refused():
                        raise
                    log.warning("fewer commands at a time", connection=self.settings.name, reason=str(problem))

    async def _run(self, asked: _Asked, ends_at: float, *, repeatable: bool) -> CommandResult:
        tries = 0
        while True:
            tries += 1
            try:
                return await self._run_once(asked, ends_at)
            except (NotSentError, OutcomeUnknownError) as problem:
                # A connection that was kept may have died unnoticed: that is worth a second try on a new one. A command
                # that breaks with its connection may be told before the connection counts as dead, and find it again.
                is_final = isinstance(problem, _ChannelRefusedError | _NoConnectionError | HeldBackError)
                is_harmless = isinstance(problem, NotSentError) or (repeatable and tries == 1)
                if is_final or not is_harmless or tries == MOST_TRIES or time.monotonic() >= ends_at:
                    raise
                log.info("command repeated on a new connection", connection=self.settings.name, reason=str(problem))

    async def close(self) -> None:
        if self._transport is not None:
            await self._in_thread(self._transport.close)
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run_once(self, asked: _Asked, ends_at: float) -> CommandResult:
        transport = await self._connection()
        run = asyncio.get_running_loop().run_in_executor(
            self._threads, _run_command, transport, asked, ends_at, self.may_send
        )
        run.add_done_callback(_note_failure)
        try:
            # The thread keeps to the deadline by itself; this only catches a library that does not. Not wait_for: it
            # may lose a cancellation that comes together with the answer (Python 3.11), and who stops waits for ever.
            async with asyncio.timeout(max(0.1, ends_at - time.monotonic()) + 5.0):
                return await asyncio.shield(run)
        except (_ChannelRefusedError, HeldBackError):
            raise
        except NotSentError:
            await self._drop(transport)
            raise
        except OutcomeUnknownError:
            if not transport.is_active():
                await self._drop(transport)
            raise
        except TimeoutError:
            await self._drop(transport)
            raise OutcomeUnknownError("the SSH session is stuck") from None

    async def _connection(self) -> paramiko.Transport:
        async with self._opening:
            if self._transport is None or not self._transport.is_active():
                self._transport = await self._connect()
                log.info("connected for commands", connection=self.settings.name)
            return self._transport

    async def _connect(self) -> paramiko.Transport:
        """Tries, unless that has just failed: then all that wait are told so at once."""
        server = (self.settings.server, self.settings.port)
        if time.monotonic() - self._failed_at < self._pause_s and not attempts.ATTEMPTS.succeeded_since(
            server, self._failed_at
        ):
            raise _NoConnectionError(self._failure)
        try:
            transport = await self._in_thread(connect, self.settings)
        except ConnectionFailedError as problem:
            self._failure, self._failed_at = str(problem), time.monotonic()
            self._pause_s = min(max(attempts.SPACING_S, 2 * self._pause_s), LONGEST_PAUSE_S)
            raise _NoConnectionError(str(problem)) from problem
        self._pause_s = 0.0
        return transport

    async def _drop(self, transport: paramiko.Transport) -> None:
        if self._transport is transport:
            self._transport = None
        await asyncio.to_thread(transport.close)

    async def _in_thread(self, call: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *arguments)


def _note_failure(done: asyncio.Future[CommandResult]) -> None:
    """Whoever asked may have gone, and then nobody is told."""
    if not done.cancelled():
        done.exception()


def _run_command(
    transport: paramiko.Transport, asked: _Asked, ends_at: float, may_send: Callable[[], bool]
) -> CommandResult:
    """In a thread: one channel, one command, everything within the deadline."""
    try:
        channel = transport.open_session(timeout=_left(ends_at))
    except paramiko.ChannelException as problem:
        raise _ChannelRefusedError(f"Gerrit refused a channel for a command: {failure_text(problem)}") from problem
    except (paramiko.SSHException, OSError, EOFError, TimeoutError) as problem:
        if str(problem) == REFUSED_WITHOUT_REASON and transport.is_active():
            raise _ChannelRefusedError("Gerrit refused a channel for a command") from problem
        raise NotSentError(f"no channel for a command: {failure_text(problem)}") from problem
    try:
        channel.settimeout(_left(ends_at))
        channel.update_environment(dict(asked.environment))
        if not may_send():
            raise HeldBackError("this service cannot tell whether it still leads")
        channel.exec_command(asked.command)
        if asked.stdin is not None:
            channel.sendall(asked.stdin)
            channel.shutdown_write()
        stdout = _read_all(channel.recv, channel, ends_at)
        stderr = _read_all(channel.recv_stderr, channel, ends_at)
        if not channel.status_event.wait(_left(ends_at)) or channel.exit_status < 0:
            raise OutcomeUnknownError("the command ended without an exit status")
        return CommandResult(channel.exit_status, stdout, stderr)
    except TimeoutError:
        raise OutcomeUnknownError("no answer within the deadline") from None
    except (paramiko.SSHException, OSError, EOFError) as problem:
        raise OutcomeUnknownError(f"the connection broke: {failure_text(problem)}") from problem
    finally:
        with suppress(paramiko.SSHException, OSError, EOFError):  # a connection that breaks now says nothing new
            channel.close()


def _read_all(receive: Callable[[int], bytes], channel: paramiko.Channel, ends_at: float) -> str:
    received: list[bytes] = []
    size = 0
    while True:
        channel.settimeout(_left(ends_at))
        data = receive(CHUNK)
        if not data:
            return b"".join(received).decode("utf-8", errors="replace")
        size += len(data)
        if size > MOST_OUTPUT:
            raise OutcomeUnknownError(f"the answer is longer than {MOST_OUTPUT} bytes")
        received.append(data)


def _left(ends_at: float) -> float:
    """Seconds until the deadline. Raises TimeoutError when it is over."""
    left = ends_at - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
