"""Expressions that nothing can match: they ask for something before a text's beginning or after its end.

And what texts must begin with, for texts of which the beginning is known.
"""

from __future__ import annotations

import re
from itertools import dropwhile, takewhile
from re import _constants as sre  # type: ignore[attr-defined]  # no public way to a parsed expression
from typing import Any

from ci_gate.config.layout.backtracking import parsed_expression
from ci_gate.config.layout.charsets import SPACES, Characters, overlap

LINE_END = ((0x0A, 0x0A),)


def can_never_match(source: str) -> bool:
    """``master^``, ``$x``, ``(?!)``. False where it is not certain."""
    parsed = parsed_expression(source)
    return parsed is not None and _Sequence(parsed.state.flags).is_impossible(parsed)


def beginning(source: str) -> str:
    """The plain text that all begins with in which it is found, white space aside; empty if that is not certain."""
    parsed = parsed_expression(source)
    if parsed is None:
        return ""
    nodes = list(parsed)
    begins = _Sequence(parsed.state.flags).begins
    if not nodes or not begins(*nodes[0]):
        return ""
    rest = dropwhile(lambda node: begins(*node) or _is_blanks(*node), nodes[1:])
    literals = takewhile(lambda node: node[0] is sre.LITERAL, rest)
    return "".join(chr(value) for _, value in literals)


def _is_blanks(kind: Any, value: Any) -> bool:
    """Any number of them, or none."""
    if kind not in (sre.MAX_REPEAT, sre.MIN_REPEAT) or len(value[2]) != 1:
        return False
    characters = Characters(0).of(*value[2][0])
    return characters is not None and set(characters) <= set(SPACES) | {(0x20, 0x20)}


class _Sequence:
    """Of the outermost level, and of groups that every match goes through."""

    def __init__(self, flags: int) -> None:
        self._multiline = bool(flags & re.MULTILINE)
        self._characters = Characters(flags)

    def is_impossible(self, nodes: Any) -> bool:
        taken, left = 0, int(sre.MAXREPEAT)
        for number in range(len(nodes)):
            kind, value = nodes[number]
            least = nodes[number : number + 1].getwidth()[0]
            if (taken and self.begins(kind, value)) or least > left or self._is_no_line_end(kind, value, left):
                return True
            if self._has_impossible(kind, value):
                return True
            taken += least
            left = min(left, self._left_after(kind, value))
        return False

    def begins(self, kind: Any, value: Any) -> bool:
        return kind is sre.AT and (
            value is sre.AT_BEGINNING_STRING or (value is sre.AT_BEGINNING and not self._multiline)
        )

    def _left_after(self, kind: Any, value: Any) -> int:
        """How many characters can still come: after ``$`` one line end."""
        if kind is sre.AT and value is sre.AT_END_STRING:
            return 0
        return 1 if kind is sre.AT and value is sre.AT_END and not self._multiline else int(sre.MAXREPEAT)

    def _is_no_line_end(self, kind: Any, value: Any, left: int) -> bool:
        if left > 1:
            return False
        characters = self._characters.of(kind, value)
        return characters is not None and not overlap(characters, LINE_END)

    def _has_impossible(self, kind: Any, value: Any) -> bool:
        match kind:
            case sre.SUBPATTERN:
                return self.is_impossible(value[3])
            case sre.BRANCH:
                return all(self.is_impossible(each) for each in value[1])
            case sre.ASSERT_NOT:
                return not len(value[1])
            case sre.MAX_REPEAT | sre.MIN_REPEAT:
                return value[0] > 0 and self.is_impossible(value[2])
            case _:
                return False
