"""Commands over one kept SSH connection: a few at a time, each with a deadline, none holding up the others.

The connection is opened when it is first needed and again when it broke. A command whose outcome is not known is
never repeated here, unless its caller says that repeating does no harm.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import paramiko
import structlog

from ci_gate.config.settings import GerritSettings
from ci_gate.gerrit.connection import ConnectionFailedError, connect, failure_text

CHUNK = 256 * 1024
MOST_OUTPUT = 64 * 1024 * 1024

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


class OutcomeUnknownError(Exception):
    """The connection broke or the time was over after the command had been sent."""


class CommandPool:
    """``settings.max_ssh_channels`` commands at the same time; the others wait their turn."""

    def __init__(self, settings: GerritSettings, *, may_send: Callable[[], bool] = lambda: True) -> None:
        """``may_send`` is asked in any thread, right before a command leaves: who has lost the lead sends nothing."""
        self.settings = settings
        self._may_send = may_send
        self._slots = asyncio.Semaphore(settings.max_ssh_channels)
        self._opening = asyncio.Lock()
        self._transport: paramiko.Transport | None = None
        # A stuck command keeps its thread for some moments after its slot is free.
        self._threads = ThreadPoolExecutor(2 * settings.max_ssh_channels, f"gerrit {settings.name}")

    async def run(
        self,
        command: str,
        *,
        deadline_s: float,
        stdin: bytes | None = None,
        repeatable: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> CommandResult:
        """Carry out a command. Raises NotSentError or OutcomeUnknownError.

        The deadline counts from the moment when the command's turn has come. ``environment`` is what the server is
        asked to set for it; not every server does.
        """
        asked = _Asked(command, stdin, environment or {})
        async with self._slots:
            ends_at = time.monotonic() + deadline_s
            try:
                return await self._run_once(asked, ends_at)
            except HeldBackError:
                raise
            except (NotSentError, OutcomeUnknownError) as problem:
                # A connection that was kept may have died unnoticed: that is worth a second try on a new one.
                if not (repeatable or isinstance(problem, NotSentError)) or time.monotonic() >= ends_at:
                    raise
                log.info("command repeated on a new connection", connection=self.settings.name, reason=str(problem))
                return await self._run_once(asked, ends_at)

    async def close(self) -> None:
        if self._transport is not None:
            await self._in_thread(self._transport.close)
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run_once(self, asked: _Asked, ends_at: float) -> CommandResult:
        transport = await self._connection()
        run = asyncio.get_running_loop().run_in_executor(
            self._threads, _run_command, transport, asked, ends_at, self._may_send
        )
        try:
            # The thread keeps to the deadline by itself; this only catches a library that does not. Not wait_for: it
            # may lose a cancellation that comes together with the answer (Python 3.11), and who stops waits for ever.
            async with asyncio.timeout(max(0.1, ends_at - time.monotonic()) + 5.0):
                return await asyncio.shield(run)
        except HeldBackError:
            raise
        except NotSentError:
            await self._drop(transport)
            raise
        except OutcomeUnknownError:
            if not transport.is_active():
                await self._drop(transport)
            raise
        except TimeoutError:
            run.add_done_callback(lambda done: done.cancelled() or done.exception())
            await self._drop(transport)
            raise OutcomeUnknownError("the SSH session is stuck") from None

    async def _connection(self) -> paramiko.Transport:
        async with self._opening:
            if self._transport is None or not self._transport.is_active():
                try:
                    self._transport = await self._in_thread(connect, self.settings)
                except ConnectionFailedError as problem:
                    raise NotSentError(str(problem)) from problem
                log.info("connected for commands", connection=self.settings.name)
            return self._transport

    async def _drop(self, transport: paramiko.Transport) -> None:
        if self._transport is transport:
            self._transport = None
        await asyncio.to_thread(transport.close)

    async def _in_thread(self, call: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *arguments)


def _run_command(
    transport: paramiko.Transport, asked: _Asked, ends_at: float, may_send: Callable[[], bool]
) -> CommandResult:
    """In a thread: one channel, one command, everything within the deadline."""
    try:
        channel = transport.open_session(timeout=_left(ends_at))
    except (paramiko.SSHException, OSError, EOFError, TimeoutError) as problem:
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
