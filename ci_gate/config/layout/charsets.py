"""Which characters a part of a parsed expression takes, as ranges of code points, by the rules of ``re.ASCII``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from re import _constants as sre  # type: ignore[attr-defined]  # no public way to a parsed expression
from typing import Any

HIGHEST = 0x10FFFF
DIGITS = ((0x30, 0x39),)
SPACES = ((0x09, 0x0D), (0x20, 0x20))
WORDS = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
ANYTHING = ((0, HIGHEST),)
CATEGORIES = {
    sre.CATEGORY_DIGIT: DIGITS,
    sre.CATEGORY_SPACE: SPACES,
    sre.CATEGORY_WORD: WORDS,
}
NEGATED_CATEGORIES = {
    sre.CATEGORY_NOT_DIGIT: DIGITS,
    sre.CATEGORY_NOT_SPACE: SPACES,
    sre.CATEGORY_NOT_WORD: WORDS,
}

Ranges = tuple[tuple[int, int], ...]


class Characters:
    """Under the flags of one expression."""

    def __init__(self, flags: int) -> None:
        self._ignore_case = bool(flags & re.IGNORECASE)
        self._dot_all = bool(flags & re.DOTALL)

    def of(self, kind: Any, value: Any) -> Ranges | None:
        """What a node takes that takes exactly one character; None for all other nodes."""
        match kind:
            case sre.LITERAL:
                return self._cases(((value, value),))
            case sre.NOT_LITERAL:
                return complement(self._cases(((value, value),)))
            case sre.ANY:
                return ANYTHING if self._dot_all else complement(((0x0A, 0x0A),))
            case sre.IN:
                return self._members(value)
            case _:
                return None

    def _members(self, members: Iterable[tuple[Any, Any]]) -> Ranges | None:
        ranges: list[tuple[int, int]] = []
        negated = False
        for kind, value in members:
            match kind:
                case sre.NEGATE:
                    negated = True
                case sre.LITERAL:
                    ranges += self._cases(((value, value),))
                case sre.RANGE:
                    ranges += self._cases((value,))
                case sre.CATEGORY if value in CATEGORIES:
                    ranges += CATEGORIES[value]
                case sre.CATEGORY if value in NEGATED_CATEGORIES:
                    ranges += complement(NEGATED_CATEGORIES[value])
                case _:
                    return None
        return complement(tuple(ranges)) if negated else tuple(ranges)

    def _cases(self, ranges: Ranges) -> Ranges:
        """With the other case of each ASCII letter, if case does not count."""
        if not self._ignore_case:
            return ranges
        letters = {code for low, high in ranges for code in range(max(low, 0x41), min(high, 0x7A) + 1)}
        others = {ord(chr(code).swapcase()) for code in letters if chr(code).isalpha()}
        return (*ranges, *((code, code) for code in sorted(others)))


def complement(ranges: Ranges) -> Ranges:
    found = []
    start = 0
    for low, high in sorted(ranges):
        if low > start:
            found.append((start, low - 1))
        start = max(start, high + 1)
    if start <= HIGHEST:
        found.append((start, HIGHEST))
    return tuple(found)


def overlap(one: Ranges, other: Ranges) -> bool:
    """Is there a character in both?"""
    return any(low <= other_high and other_low <= high for low, high in one for other_low, other_high in other)
