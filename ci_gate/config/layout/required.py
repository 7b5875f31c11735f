"""A text that everything contains which an expression finds: comments without it need no search.

Nearly all comments ask for nothing, and looking for a word is thirty times as fast as searching for an expression.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from re import _constants as sre  # type: ignore[attr-defined]  # no public way to a parsed expression
from re import _parser as parser  # type: ignore[attr-defined]  # as above
from typing import Any

from ci_gate.model.expression import Search

SHORTEST = 3  # characters; shorter ones are in most texts


def asking_first(source: str, search: Search) -> Search:
    """The same search, which looks at nothing without the required text, if there is one."""
    try:
        parsed = parser.parse(source, re.ASCII)
    except (re.error, RecursionError, OverflowError, ValueError):  # ``(?u)`` among them, whose cases are others
        return search
    text = _longest(parsed)
    if len(text) < SHORTEST:
        return search
    if parsed.state.flags & re.IGNORECASE:
        lower = text.lower()
        return lambda found: lower in found.lower() and search(found)
    return lambda found: text in found and search(found)


def _longest(nodes: Iterable[tuple[Any, Any]]) -> str:
    """The longest run of plain ASCII characters that no match is without."""
    longest = run = ""
    for kind, value in nodes:
        if kind is sre.LITERAL and value < 0x80:
            run += chr(value)
            longest = max(longest, run, key=len)
            continue
        run = ""
        if kind is sre.SUBPATTERN and not (value[1] or value[2]):
            longest = max(longest, _longest(value[3]), key=len)
        elif kind in (sre.MAX_REPEAT, sre.MIN_REPEAT) and value[0] >= 1:
            longest = max(longest, _longest(value[2]), key=len)
    return longest
