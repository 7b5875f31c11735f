"""Searching in what strangers write, in time that grows with the text alone.

Comments, names and addresses come from everybody, and Python's ``re`` can be made to take years for a short one. RE2
cannot. Its dialect differs in small things, so an expression is not handed over as it is written, but as Python
understood it: from the parsed expression, node by node. Look-aheads at the very beginning are asked on their own; what
RE2 has no means for (other look-arounds, references back) is for ``timed.py``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import takewhile
from re import _constants as sre  # type: ignore[attr-defined]  # no public way to a parsed expression
from re import _parser as parser  # type: ignore[attr-defined]  # as above
from typing import Any

import re2

MOST_REPEATS = 1000  # RE2's own limit
MOST_MEMORY = 64 * 1024 * 1024
HIGHEST = 0x10FFFF
DIGITS = ((0x30, 0x39),)
SPACES = ((0x09, 0x0D), (0x20, 0x20))
WORDS = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))

Ranges = tuple[tuple[int, int], ...]


class _UntranslatableError(Exception):
    """RE2 has no means for this."""


def linear_search(source: str) -> Callable[[str], bool] | None:
    """Does it match anywhere in a text, as ``re.search`` with ``re.ASCII`` would say? None if RE2 cannot tell."""
    try:
        compiled = re2.compile(_translated(source), _options())
    except (_UntranslatableError, re2.error):
        return _anchored_search(source)
    return lambda text: compiled.search(_as_utf8(text)) is not None


def _anchored_search(source: str) -> Callable[[str], bool] | None:
    """For ``^(?!this)(?=that)rest``: all of it is about the first character on, so each part is asked on its own."""
    try:
        parsed = parser.parse(source, re.ASCII)
        nodes, translator = list(parsed), _Translator(parsed.state.flags)
        if not nodes or not translator.begins_text(nodes[0]):
            return None
        looks = list(takewhile(_looks_ahead, nodes[1:]))
        conditions = [
            (kind is sre.ASSERT, _at_begin(translator.sequence(inner, last=True))) for kind, (_, inner) in looks
        ]
        rest = _at_begin(translator.sequence(nodes[1 + len(looks) :], last=True))
    except (re.error, RecursionError, OverflowError, ValueError, _UntranslatableError, re2.error):
        return None

    def search(text: str) -> bool:
        encoded = _as_utf8(text)
        if any((condition.search(encoded) is not None) is not wanted for wanted, condition in conditions):
            return False
        return rest.search(encoded) is not None

    return search


def _looks_ahead(node: tuple[Any, Any]) -> bool:
    return node[0] in (sre.ASSERT, sre.ASSERT_NOT) and node[1][0] == 1


def _at_begin(translated: str) -> Any:
    return re2.compile(rf"\A(?:{translated})", _options())


def _options() -> re2.Options:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = MOST_MEMORY
    return options


def _as_utf8(text: str) -> str:
    """RE2 works on UTF-8, which has no halves of surrogate pairs."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _translated(source: str) -> str:
    """Raises _UntranslatableError."""
    try:
        parsed = parser.parse(source, re.ASCII)
        return _Translator(parsed.state.flags).sequence(parsed, last=True)
    except (re.error, RecursionError, OverflowError, ValueError) as problem:
        raise _UntranslatableError from problem


class _Translator:
    def __init__(self, flags: int) -> None:
        if flags & re.UNICODE and not flags & re.ASCII:
            raise _UntranslatableError
        self._ignore_case = bool(flags & re.IGNORECASE)
        self._dot_all = bool(flags & re.DOTALL)
        self._multiline = bool(flags & re.MULTILINE)

    def begins_text(self, node: tuple[Any, Any]) -> bool:
        """Is this the place before the first character, and no other?"""
        kind, where = node
        return kind is sre.AT and (
            where is sre.AT_BEGINNING_STRING or (where is sre.AT_BEGINNING and not self._multiline)
        )

    def sequence(self, nodes: Iterable[tuple[Any, Any]], *, last: bool) -> str:
        """``last``: nothing of the expression comes after this."""
        listed = list(nodes)
        return "".join(self._node(*node, last=last and node is listed[-1]) for node in listed)

    def _node(self, kind: Any, value: Any, *, last: bool) -> str:
        match kind:
            case sre.LITERAL:
                return _class(self._cases(((value, value),)))
            case sre.NOT_LITERAL:
                return _class(_complement(self._cases(((value, value),))))
            case sre.ANY:
                return _class(((0, HIGHEST),) if self._dot_all else _complement(((0x0A, 0x0A),)))
            case sre.IN:
                return _class(self._members(value))
            case sre.BRANCH:
                return "(?:" + "|".join(self.sequence(each, last=last) for each in value[1]) + ")"
            case sre.SUBPATTERN:
                _, added, removed, inner = value
                if added or removed:
                    raise _UntranslatableError
                return f"(?:{self.sequence(inner, last=last)})"
            case sre.MAX_REPEAT | sre.MIN_REPEAT:
                return self._repeat(*value)
            case sre.AT:
                return self._place(value, last=last)
            case _:
                raise _UntranslatableError

    def _repeat(self, least: int, most: Any, inner: Any) -> str:
        if least > MOST_REPEATS or (most is not sre.MAXREPEAT and most > MOST_REPEATS):
            raise _UntranslatableError
        upper = "" if most is sre.MAXREPEAT else str(int(most))
        return f"(?:{self.sequence(inner, last=False)}){{{least},{upper}}}"

    def _place(self, where: Any, *, last: bool) -> str:
        match where:
            case sre.AT_BEGINNING:
                return "(?m:^)" if self._multiline else r"\A"
            case sre.AT_END if self._multiline:
                return "(?m:$)"
            case sre.AT_END if last:
                return r"\n?\z"  # also before a final line end, which nothing after it can want
            case sre.AT_BEGINNING_STRING:
                return r"\A"
            case sre.AT_END_STRING:
                return r"\z"
            case sre.AT_BOUNDARY:
                return r"\b"
            case _:
                raise _UntranslatableError

    def _members(self, members: Iterable[tuple[Any, Any]]) -> Ranges:
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
                case sre.CATEGORY:
                    ranges += _category(value)
                case _:
                    raise _UntranslatableError
        return _complement(tuple(ranges)) if negated else tuple(ranges)

    def _cases(self, ranges: Ranges) -> Ranges:
        """With the other case of each ASCII letter, if case does not count."""
        if not self._ignore_case:
            return ranges
        letters = {code for low, high in ranges for code in range(max(low, 0x41), min(high, 0x7A) + 1)}
        others = {ord(chr(code).swapcase()) for code in letters if chr(code).isalpha()}
        return (*ranges, *((code, code) for code in sorted(others)))


def _category(value: Any) -> Ranges:
    match value:
        case sre.CATEGORY_DIGIT:
            return DIGITS
        case sre.CATEGORY_NOT_DIGIT:
            return _complement(DIGITS)
        case sre.CATEGORY_SPACE:
            return SPACES
        case sre.CATEGORY_NOT_SPACE:
            return _complement(SPACES)
        case sre.CATEGORY_WORD:
            return WORDS
        case sre.CATEGORY_NOT_WORD:
            return _complement(WORDS)
        case _:
            raise _UntranslatableError


def _complement(ranges: Ranges) -> Ranges:
    found = []
    start = 0
    for low, high in sorted(ranges):
        if low > start:
            found.append((start, low - 1))
        start = max(start, high + 1)
    if start <= HIGHEST:
        found.append((start, HIGHEST))
    return tuple(found)


def _class(ranges: Ranges) -> str:
    if not ranges:
        return r"[^\x{0}-\x{10FFFF}]"
    return "[" + "".join(rf"\x{{{low:X}}}-\x{{{high:X}}}" for low, high in ranges) + "]"
