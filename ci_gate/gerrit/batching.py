"""Questions about single changes, asked together when there is a crowd: one command for many, one question a change.

A question is answered by a command that is sent after it was put, never by one that was under way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from ci_gate.model.change import decimal_text

MOST = 20

JsonObject = Mapping[str, Any]
Terms = Callable[[], str]


class Batching:
    """``ask`` gets a function that gives the terms of a query when its turn has come, and returns the records found.

    ``more`` tells of its answer whether Gerrit has others. A group whose question failed makes the next ones smaller.
    ``sure``: what was not found among others is asked for alone before it counts as not there. An old server may keep
    to a number of rows and not say so.
    """

    def __init__(
        self, ask: Callable[[Terms], Awaitable[tuple[list[JsonObject], bool]]], *, sure: bool = False
    ) -> None:
        self._ask = ask
        self._sure = sure
        self._unsent: list[_Group] = []
        self._most = MOST
        self._sending: set[asyncio.Task[None]] = set()

    async def record_of(self, number: str) -> JsonObject | None:
        """Of one change; None if Gerrit shows no such change. Raises what ``ask`` raises."""
        group = next((each for each in self._unsent if number in each.numbers), None) or self._with_room()
        group.numbers[number] = None
        return (await asyncio.shield(group.answer)).get(number)

    def _with_room(self) -> _Group:
        for each in self._unsent:
            if len(each.numbers) < self._most:
                return each
        group = _Group()
        self._unsent.append(group)
        task = asyncio.create_task(self._send(group))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)
        return group

    async def _send(self, group: _Group) -> None:
        def terms() -> str:
            self._close(group)
            return any_of(group.numbers)

        try:
            found = await self._whole(terms, group)
        except BaseException as problem:  # noqa: BLE001  # it is for those who asked
            self._close(group)
            self._most = max(1, min(self._most, len(group.numbers)) // 2)
            group.fail(problem)
        else:
            self._most = min(MOST, self._most + 1)
            group.answer.set_result(found)

    def _close(self, group: _Group) -> None:
        """Its question is under way, or over."""
        if group in self._unsent:
            self._unsent.remove(group)

    async def _whole(self, terms: Terms, group: _Group) -> dict[str, JsonObject]:
        """Also what was beyond the number of rows that Gerrit gives at a time."""
        found: dict[str, JsonObject] = {}
        while True:
            records, more = await self._ask(terms)
            fresh = {decimal_text(each["number"]): each for each in records if "number" in each}
            missing = [each for each in group.numbers if each not in found and each not in fresh]
            is_all = not fresh.keys() - found.keys() or not missing or not more
            found |= fresh
            if is_all and self._sure and len(group.numbers) > 1:
                return found | await self._alone(missing)
            if is_all:
                return found
            terms = _constant(any_of(missing))

    async def _alone(self, numbers: Iterable[str]) -> dict[str, JsonObject]:
        """One after the other: there are hardly ever any."""
        found: dict[str, JsonObject] = {}
        for each in numbers:
            records, _ = await self._ask(_constant(any_of([each])))
            found |= {decimal_text(record["number"]): record for record in records if "number" in record}
        return found


class _Group:
    """Changes that are asked for together. ``answer`` are the records by number."""

    def __init__(self) -> None:
        self.numbers: dict[str, None] = {}
        self.answer: asyncio.Future[dict[str, JsonObject]] = asyncio.get_running_loop().create_future()

    def fail(self, problem: BaseException) -> None:
        if isinstance(problem, asyncio.CancelledError):
            self.answer.cancel()
            return
        self.answer.set_exception(problem)
        self.answer.exception()  # whoever asked may have gone


def any_of(numbers: Iterable[str]) -> str:
    """A query for changes; in parentheses where that matters."""
    terms = " OR ".join(f"change:{each}" for each in numbers)
    return f"({terms})" if " OR " in terms else terms


def _constant(text: str) -> Terms:
    return lambda: text
