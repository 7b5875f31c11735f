"""The socket on which operators' commands come in: ``state_dir/admin.sock`` (additions.md, Commands).

One line of JSON each way: ``{"command": "reload", …}`` and ``{"done": true, "lines": ["…"], "data": …}``. Who may
write to the file may command: the service's user and group.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import structlog

from ci_gate.model.operations import CommandAnswer

Request = Mapping[str, object]
Handler = Callable[[Request], Awaitable[CommandAnswer]]

FILE_NAME = "admin.sock"
LONGEST_REQUEST = 1024 * 1024
REQUEST_DEADLINE_S = 10.0
OWNER_AND_GROUP = 0o660
LONGEST_PATH = 107  # bytes, of the system

log = structlog.stdlib.get_logger("zuul.RPCListener")


class AdminSocketError(Exception):
    """The socket cannot be offered; the text says what to do."""


class AdminSocket:
    """Offers ``handlers`` by the names of their commands."""

    def __init__(self, state_dir: Path, handlers: Mapping[str, Handler]) -> None:
        self._path = state_dir / FILE_NAME
        self._handlers = handlers
        self._server: asyncio.Server | None = None
        self._talks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Raises AdminSocketError, also if another service is at work in the same folder."""
        if len(os.fsencode(self._path)) > LONGEST_PATH:
            raise AdminSocketError(f"{self._path} is too long for a socket; set [zuul] state_dir to a shorter path")
        await self._clear_away()
        try:
            self._server = await asyncio.start_unix_server(self._accepted, self._path, limit=LONGEST_REQUEST)
            self._path.chmod(OWNER_AND_GROUP)
        except OSError as problem:
            raise AdminSocketError(f"{self._path} cannot be made: {problem.strerror or problem}") from problem

    @property
    def talking(self) -> int:
        """How many ask right now."""
        return len(self._talks)

    async def stop(self) -> None:
        if self._server is None:
            return
        self._server.close()
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)
        self._path.unlink(missing_ok=True)

    async def _clear_away(self) -> None:
        """A file that a service left when it was killed is in the way; that of a living one is respected."""
        if not self._path.is_socket():
            return
        with socket.socket(socket.AF_UNIX) as probe:
            probe.setblocking(False)
            try:
                await asyncio.get_running_loop().sock_connect(probe, str(self._path))
            except OSError:
                self._path.unlink(missing_ok=True)
            else:
                folder = self._path.parent
                raise AdminSocketError(f"another ci-gate serve works with state_dir {folder}; give each its own")

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = asyncio.current_task()
        if talk is not None:
            self._talks.add(talk)
            talk.add_done_callback(self._talks.discard)
        try:
            answer = await self._answer_to(reader)
            writer.write(json.dumps({"done": answer.done, "lines": answer.lines, "data": answer.data}).encode() + b"\n")
            await writer.drain()
        except OSError as problem:
            log.info("who asked has gone", reason=str(problem))
        finally:
            writer.close()

    async def _answer_to(self, reader: asyncio.StreamReader) -> CommandAnswer:
        try:
            async with asyncio.timeout(REQUEST_DEADLINE_S):
                request = json.loads(await reader.readline())
        except TimeoutError:
            return _refused(f"no request within {REQUEST_DEADLINE_S:g} s")
        except (ValueError, RecursionError):
            return _refused("the request is not one line of JSON")
        if not isinstance(request, dict) or not isinstance(command := request.get("command"), str):
            return _refused('the request must be an object with a "command"')
        handler = self._handlers.get(command)
        if handler is None:
            return _refused(f'unknown command "{command}"; known: {", ".join(self._handlers)}')
        log.info("command", request=request)
        try:
            return await handler(request)
        except Exception as problem:
            log.exception("command failed in an unexpected way", request=request)
            return _refused(f"the service could not do that: {type(problem).__name__}; see its log")


def _refused(reason: str) -> CommandAnswer:
    return CommandAnswer(done=False, lines=(reason,))
