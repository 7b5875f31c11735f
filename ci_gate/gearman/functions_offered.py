"""Operators' functions over Gearman, for scripts that use Zuul's: ``zuul:enqueue`` and the like (outputs.md 7).

A worker in a thread of its own, connected to the job server that carries the builds; what it is asked is answered by
the loop's thread. Knows the functions' names and their JSON, and nothing of what they do.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import gear
import structlog

from ci_gate.gearman.inquiry import Address
from ci_gate.model.operations import CommandAnswer

CLIENT_ID = "Zuul RPC Listener"
ANSWER_S = 90.0  # the service's own deadline is 60 s
STOP_S = 0.5

Ask = Callable[[Mapping[str, object]], Awaitable[CommandAnswer]]

log = structlog.stdlib.get_logger("zuul.RPCListener")


class OfferedFunctions:
    """``functions`` by their names; each takes the job's arguments and says what became of it."""

    def __init__(self, server: Address, functions: Mapping[str, Ask]) -> None:
        self._server = server
        self._functions = functions
        self._loop = asyncio.get_running_loop()
        self._worker: Any = None
        self._thread: threading.Thread | None = None
        self._running = False

    async def start(self) -> None:
        """Returns at once; a server that is not there yet is waited for."""
        self._running = True
        self._worker = gear.Worker(CLIENT_ID)
        for name in self._functions:
            self._worker.registerFunction(name)
        self._worker.addServer(self._server.host, self._server.port)
        self._thread = threading.Thread(target=self._serve, name="operators' functions", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """gear waits up to five seconds for an answer that its own reader, already ended, cannot take in: not here."""
        self._running = False
        if self._worker is not None and self._thread is not None:
            threading.Thread(target=self._worker.shutdown, name="end of operators' functions", daemon=True).start()
            await asyncio.to_thread(self._thread.join, STOP_S)

    # --- in the worker's thread ---

    def _serve(self) -> None:
        while self._running:
            try:
                job = self._worker.getJob()
            except gear.InterruptedError:
                continue
            with contextlib.suppress(Exception):  # whoever asked may have gone, and the server with it
                self._answer(job)

    def _answer(self, job: Any) -> None:
        name = job.name.decode(errors="replace") if isinstance(job.name, bytes) else str(job.name)
        log.info("function called", function=name)
        try:
            arguments = _arguments(job.arguments)
            asked = asyncio.run_coroutine_threadsafe(self._ask(name, arguments), self._loop)
            answer = asked.result(ANSWER_S)
        except (ValueError, TypeError) as problem:
            job.sendWorkException(f"Invalid arguments: {problem}\n".encode())
        except Exception as problem:
            log.exception("function failed in an unexpected way", function=name)
            job.sendWorkException(f"{type(problem).__name__}; see the log of the service\n".encode())
        else:
            if answer.valid:
                job.sendWorkComplete(b"" if answer.data is None else json.dumps(answer.data).encode())
            else:
                job.sendWorkException("".join(f"{line}\n" for line in answer.lines).encode())

    async def _ask(self, name: str, arguments: Mapping[str, object]) -> CommandAnswer:
        return await self._functions[name](arguments)


def _arguments(data: bytes) -> Mapping[str, object]:
    """Raises ValueError or TypeError."""
    arguments = json.loads(data or b"{}")
    if not isinstance(arguments, dict):
        raise TypeError("the argument must be a JSON object")
    return arguments
