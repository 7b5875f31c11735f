"""Expressions that take for ever: a text can be split among their repeats in so many ways that trying all never ends.

``(a+)+``, ``(a|a)*``, ``(.*x)*``: from some place within a loop two different ways lead back to it by the same text.
Found by looking at the expression, not by trying texts on it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from re import _constants as sre  # type: ignore[attr-defined]  # no public way to a parsed expression
from re import _parser as parser  # type: ignore[attr-defined]  # as above
from typing import Any, NamedTuple

from ci_gate.config.layout.charsets import ANYTHING, Characters, Ranges, overlap

ENDLESS = 10  # so many repeats are as good as any number
MOST_PLACES, MOST_PLACES_OF_LOOP = 2000, 60
"""What is larger is taken to be well made: to find out would take too long."""


def parsed_expression(source: str) -> Any:
    """As ``re`` parses it; None if it does not."""
    for flags in (re.ASCII, 0):  # with ``(?u)`` the first is an error
        try:
            return parser.parse(source, flags)
        except (re.error, RecursionError, OverflowError, ValueError):
            continue
    return None


def may_take_for_ever(source: str) -> bool:
    """Is there a text on which Python's own search would take time that doubles with every character?"""
    parsed = parsed_expression(source)
    try:
        return parsed is not None and any(each.explodes() for each in _automata(parsed))
    except (_TooLargeError, RecursionError):
        return False


class _TooLargeError(Exception):
    """To be looked at."""


class _Part(NamedTuple):
    """Of an expression: the places where a match of it can begin and end, and whether it can be empty."""

    first: frozenset[int] = frozenset()
    last: frozenset[int] = frozenset()
    is_empty: bool = True


class _Automaton:
    """The places of an expression, one for each character that it names, and the ways from each to the next."""

    def __init__(self, flags: int) -> None:
        self._characters = Characters(flags)
        self._takes: list[Ranges] = []
        self._ways: list[Counter[int]] = []
        self.asides: list[Any] = []

    def sequence(self, nodes: Iterable[tuple[Any, Any]]) -> _Part:
        return self._chain([self._node(kind, value) for kind, value in nodes])

    def _chain(self, parts: Iterable[_Part]) -> _Part:
        whole = _Part()
        for part in parts:
            self._join(whole.last, part.first)
            whole = _Part(
                whole.first | part.first if whole.is_empty else whole.first,
                whole.last | part.last if part.is_empty else part.last,
                whole.is_empty and part.is_empty,
            )
        return whole

    def _node(self, kind: Any, value: Any) -> _Part:
        characters = self._characters.of(kind, value)
        if characters is not None:
            return self._place(characters)
        match kind:
            case sre.BRANCH:
                parts = [self.sequence(each) for each in value[1]]
                first, last = frozenset[int]().union(*(each.first for each in parts)), frozenset[int]()
                return _Part(first, last.union(*(each.last for each in parts)), any(each.is_empty for each in parts))
            case sre.SUBPATTERN:
                return self.sequence(value[3])
            case sre.MAX_REPEAT | sre.MIN_REPEAT:
                return self._repeat(*value)
            case sre.ASSERT | sre.ASSERT_NOT:
                self.asides.append(value[1])
                return _Part()
            case sre.AT:
                return _Part()
            case _:
                return self._place(ANYTHING)._replace(is_empty=True)

    def _repeat(self, least: int, most: Any, inner: Any) -> _Part:
        if most is sre.MAXREPEAT or most >= ENDLESS:
            part = self.sequence(inner)
            self._join(part.last, part.first)
            return part if least else part._replace(is_empty=True)
        parts = [self.sequence(inner) for _ in range(most)]
        for one, following in pairwise(parts):
            self._join(one.last, following.first)
        if not parts:
            return _Part()
        last = frozenset[int]().union(*(each.last for each in parts[max(least - 1, 0) :]))
        return _Part(parts[0].first, last, parts[0].is_empty or not least)

    def _place(self, characters: Ranges) -> _Part:
        if len(self._takes) >= MOST_PLACES:
            raise _TooLargeError
        self._takes.append(characters)
        self._ways.append(Counter())
        place = frozenset([len(self._takes) - 1])
        return _Part(place, place, is_empty=False)

    def _join(self, before: Iterable[int], after: frozenset[int]) -> None:
        for place in before:
            self._ways[place].update(after)

    def explodes(self) -> bool:
        return any(self._loop_explodes(loop) for loop in _loops(self._ways))

    def _loop_explodes(self, loop: frozenset[int]) -> bool:
        ways = {place: [each for each in self._ways[place] if each in loop] for place in loop}
        if any(self._ways[place][each] > 1 for place in loop for each in ways[place]):
            return True  # a repeat of a repeat: one step in two ways
        if len(loop) > MOST_PLACES_OF_LOOP:
            return False
        pairs = [(one, other) for one in loop for other in loop]
        number = {pair: index for index, pair in enumerate(pairs)}
        steps = [
            [
                number[one_next, other_next]
                for one_next in ways[one]
                for other_next in ways[other]
                if overlap(self._takes[one_next], self._takes[other_next])
            ]
            for one, other in pairs
        ]
        together = [len({one, other}) == 1 for one, other in pairs]
        return any(len({together[each] for each in found}) > 1 for found in _loops(steps))


def _automata(parsed: Any) -> Iterator[_Automaton]:
    """Of the expression, and of what it looks at aside."""
    waiting = [parsed]
    while waiting:
        automaton = _Automaton(parsed.state.flags)
        automaton.sequence(waiting.pop())
        waiting += automaton.asides
        yield automaton


def _loops(ways: Sequence[Iterable[int]]) -> list[frozenset[int]]:
    """The sets of places that lead to one another and back (strongly connected components, by Tarjan's algorithm)."""
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    on_stack: set[int] = set()
    found = []

    def enter(place: int) -> tuple[int, Iterator[int]]:
        index[place] = low[place] = len(index)
        stack.append(place)
        on_stack.add(place)
        return place, iter(ways[place])

    def leave(place: int) -> None:
        if low[place] != index[place]:
            return
        members = stack[stack.index(place) :]
        del stack[-len(members) :]
        on_stack.difference_update(members)
        if len(members) > 1 or place in ways[place]:
            found.append(frozenset(members))

    for root in range(len(ways)):
        path = [enter(root)] if root not in index else []
        while path:
            place, following = path[-1]
            for each in following:
                if each not in index:
                    path.append(enter(each))
                    break
                if each in on_stack:
                    low[place] = min(low[place], index[each])
            else:
                path.pop()
                if path:
                    low[path[-1][0]] = min(low[path[-1][0]], low[place])
                leave(place)
    return found
