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

from ci_gate.config.layout.charsets import Characters, Ranges

MOST_REPEATS = 1000  # RE2's own limit
MOST_MEMORY = 64 * 1024 * 1024

class _UntranslatableError(Exception):
    """RE2 has no means for this."""


def linear_search(source: str) -> Callable[[str], bool] | None:
    """Does it match anywhere in a text, as ``re.search`` with ``re.ASCII`` would say? None if RE2 cannot tell."""
    try:
        compiled = re2.compile(_translated(source), _options())
    except (_UntranslatableError, re2.error):
        return _anchored_search(source)
    return lambda text: compiled.search(_as_utf8(text)) is not None


def linear_match(source: str) -> Callable[[str], bool] | None:
    """Does it match from the first character on, as ``re.match`` with ``re.ASCII`` would say? None as above."""
    try:
        compiled = _at_begin(_translated(source))
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
        self._characters = Characters(flags)
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
        characters = self._characters.of(kind, value)
        if characters is not None:
            return _class(characters)
        match kind:
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


def _class(ranges: Ranges) -> str:
    if not ranges:
        return r"[^\x{0}-\x{10FFFF}]"
    return "[" + "".join(rf"\x{{{low:X}}}-\x{{{high:X}}}" for low, high in ranges) + "]"
