"""Operators' functions over Gearman, for scripts that use Zuul's: ``zuul:enqueue`` and the like (outputs.md 7).

A worker at each job server that carries the builds; what it is asked is answered on the loop's thread. Knows the
functions' names and their JSON, and nothing of what they do.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog

from ci_gate.job_servers import Address
from ci_gate.model.operations import CommandAnswer
from ci_gate.worker_connection import GearmanWorker, Job

CLIENT_ID = "Zuul RPC Listener"
ANSWER_S = 90.0  # the service's own deadline is 60 s
MOST_AT_A_TIME = 20

Ask = Callable[[Mapping[str, object]], Awaitable[CommandAnswer]]

log = structlog.stdlib.get_logger("zuul.RPCListener")


class OfferedFunctions:
    """``functions`` by their names; each takes the job's arguments and says what became of it."""

    def __init__(self, servers: Sequence[Address], functions: Mapping[str, Ask]) -> None:
        self._functions = functions
        self._answering: set[asyncio.Task[None]] = set()
        self._worker = GearmanWorker(
            servers, CLIENT_ID, on_job=self._called, wants=lambda: len(self._answering) < MOST_AT_A_TIME
        )
        self._worker.offer(functions)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns at once; a server that is not there yet is waited for."""
        self._task = asyncio.create_task(self._worker.run(), name="operators' functions")

    async def stop(self) -> None:
        tasks = [*self._answering, *([self._task] if self._task else [])]
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _called(self, job: Job) -> None:
        log.info("function called", function=job.function)
        task = asyncio.create_task(self._answer(job), name=f"answer to {job.function}")
        self._answering.add(task)
        task.add_done_callback(self._answered)

    def _answered(self, task: asyncio.Task[None]) -> None:
        self._answering.discard(task)
        self._worker.look()

    async def _answer(self, job: Job) -> None:
        try:
            arguments = _arguments(job.arguments)
            async with asyncio.timeout(ANSWER_S):
                answer = await self._functions[job.function](arguments)
        except (ValueError, TypeError) as problem:
            job.exception(f"Invalid arguments: {problem}\n")
        except Exception as problem:
            log.exception("function failed in an unexpected way", function=job.function)
            job.exception(f"{type(problem).__name__}; see the log of the service\n")
        else:
            if answer.valid:
                job.complete(answer.data)
            else:
                job.exception("".join(f"{line}\n" for line in answer.lines))


def _arguments(data: bytes) -> Mapping[str, object]:
    """Raises ValueError or TypeError."""
    arguments = json.loads(data or b"{}")
    if not isinstance(arguments, dict):
        raise TypeError("the argument must be a JSON object")
    return arguments
