"""Operators' commands on their way through the scheduler: each is one input, and one effect answers it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ci_gate.daemon.inbox import Inbox
from ci_gate.model.operations import CommandAnswer
from ci_gate.scheduler.effects import AnswerCommand
from ci_gate.scheduler.inputs import Input

DEADLINE_S = 60.0

NO_ANSWER = CommandAnswer(done=False, lines=(f"no answer within {DEADLINE_S:g} s; see the log of the service",))


class CommandDesk:
    """Used on the loop's thread only."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._tickets = 0
        self._waiting: dict[int, asyncio.Future[CommandAnswer]] = {}

    async def carry_out(self, make: Callable[[float, int], Input]) -> CommandAnswer:
        """Hand in the input that ``make`` gives for a time and a ticket, and wait for its answer."""
        self._tickets += 1
        ticket = self._tickets
        answer: asyncio.Future[CommandAnswer] = asyncio.get_running_loop().create_future()
        self._waiting[ticket] = answer
        self._inbox.put(lambda at: make(at, ticket))
        try:
            async with asyncio.timeout(DEADLINE_S):
                return await answer
        except TimeoutError:
            return NO_ANSWER
        finally:
            del self._waiting[ticket]

    def answer(self, effect: AnswerCommand) -> None:
        waiting = self._waiting.get(effect.ticket)
        if waiting is not None and not waiting.done():
            waiting.set_result(effect.answer)
