"""Regular expressions as Python 2.7 understood them, in the words of today's ``re`` (``spec/layout.md`` 2.1)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from ci_gate.model.expression import Expression, Search, python_pattern

INLINE_FLAGS = re.compile(r"\(\?([aiLmsux]+)\)")
COMMENT = re.compile(r"\(\?#[^)]*\)")
KNOWN_ESCAPES = frozenset("aAbBdDfnrsStvwWxZ")
"""Letters that a backslash gives a meaning in 2.7; before other letters it stands for nothing."""
ANCHORS = frozenset("ABZ")
"""Those of them that mean nothing within brackets."""
RESERVED_IN_CLASS = frozenset("[&~|")
"""Plain characters within brackets, which today's ``re`` warns about."""

_ONE = r"(?:[^\\^$.|?*+()\[\]{}]|\\[^\w]|\\[dDsSwW]|\.|\[\^?(?:0-9|a-z|A-Z|[\w./])+\])(?:[*+?]\??)?"
_FLAT = rf"(?:{_ONE}|[\^$|])*"
_GROUPED = rf"(?:{_ONE}|[\^$|]|\((?:\?:)?{_FLAT}\)\??)*"
PLAIN = re.compile(rf"(?:{_ONE}|[\^$|]|\((?:\?:)?{_GROUPED}\)\??)*")
"""Expressions of the usual parts in a usual order. They compile, mean today what they meant, and have no repeat within
a repeat: nothing needs to be done about them before they are used, and most never are while a layout is checked."""

LEADING_FLAGS = re.compile(r"\A\(\?[a-z]+\)")
ANCHOR_INSIDE = re.compile(r"[^|(\[]\^|\$[^|)]|\\[AZ]|\(\?!\)")
REPEATED_GROUP = re.compile(r"\)[*+{]")


class BadExpressionError(Exception):
    """Does not compile; the text is the parser's reason, with the offset."""


def compile_expression(source: str, *, for_strangers: bool = False) -> Expression:
    """``for_strangers``: it is searched for in what anybody may write. Raises BadExpressionError."""
    translated = source
    takes_for_ever = False
    if not is_plain(source):
        try:
            translated = _translated(source)
            python_pattern(translated)
            takes_for_ever = _takes_for_ever(translated)
        except re.error as problem:
            at = f" at offset {problem.pos}" if problem.pos is not None and translated == source else ""
            raise BadExpressionError(f"{problem.msg}{at}") from problem
        except (OverflowError, RecursionError) as problem:
            raise BadExpressionError("too large a number or nested too deeply") from problem
    return Expression(
        source,
        translated,
        make_search=partial(_safe_search, translated) if for_strangers else None,
        make_match=partial(_safe_match, translated) if takes_for_ever else None,
    )


def is_plain(source: str) -> bool:
    return PLAIN.fullmatch(source) is not None


def doubts_about(expression: Expression, *, for_strangers: bool) -> Iterator[tuple[str, str]]:
    """What cannot be meant, as code and text. Most expressions are seen at once to be above doubt."""
    source = expression.python_source
    if ANCHOR_INSIDE.search(LEADING_FLAGS.sub("", source)):
        from ci_gate.config.layout.impossible import can_never_match  # noqa: PLC0415  # few layouts need it

        if can_never_match(source):
            yield "never-matches", "nothing can match this: it asks for text before the beginning or after the end"
    if expression.make_match is not None and not (for_strangers and _is_linear(source)):
        yield "slow-regex", "a repeat within a repeat can match a text in countless ways, and trying all may never end"


def _takes_for_ever(translated: str) -> bool:
    if not REPEATED_GROUP.search(translated):
        return False
    from ci_gate.config.layout.backtracking import may_take_for_ever  # noqa: PLC0415  # few layouts need it

    return may_take_for_ever(translated)


def _is_linear(translated: str) -> bool:
    from ci_gate.config.layout.linear import linear_search  # noqa: PLC0415  # as above

    return linear_search(translated) is not None


def _safe_search(translated: str) -> Search | None:
    """One that no text can hold up: linear if that can be had, else with a deadline.

    Nothing for it is imported before it is needed: a check of a layout searches in no comments.
    """
    from ci_gate.config.layout.linear import linear_search  # noqa: PLC0415  # as just said
    from ci_gate.config.layout.required import asking_first  # noqa: PLC0415  # as just said

    search = linear_search(translated)
    if search is None:
        from ci_gate.config.layout.timed import timed_search  # noqa: PLC0415  # as just said

        search = timed_search(translated)
    return asking_first(translated, search) if search is not None else None


def _safe_match(translated: str) -> Search | None:
    """The same from the first character on."""
    from ci_gate.config.layout.linear import linear_match  # noqa: PLC0415  # as just said
    from ci_gate.config.layout.timed import timed_match  # noqa: PLC0415  # as just said

    return linear_match(translated) or timed_match(translated)


def _translated(source: str) -> str:
    """Inline flags go to the front; a backslash before a letter without a meaning goes away."""
    flags: list[str] = []
    parts: list[str] = []
    at = 0
    while at < len(source):
        if source[at] == "[":
            part, at = _bracketed(source, at)
        elif source[at] == "\\":
            part, at = _escape(source[at + 1 : at + 2]), at + 2
        elif found := INLINE_FLAGS.match(source, at):
            flags += [flag for flag in found[1] if flag not in flags and flag != "L"]
            part, at = "", found.end()
        elif found := COMMENT.match(source, at):
            part, at = found[0], found.end()
        else:
            part, at = source[at], at + 1
        parts.append(part)
    body = "".join(parts)
    return f"(?{''.join(flags)}){body}" if flags else body


def _bracketed(source: str, at: int) -> tuple[str, int]:
    """The set of characters that begins here, and where it ends; one that does not end goes as far as the text."""
    opening = "[^" if source.startswith("[^", at) else "["
    at += len(opening)
    parts = [opening]
    while at < len(source) and (source[at] != "]" or len(parts) == 1):  # a bracket that comes first is a member
        part, at = _member(source, at)
        parts.append(part)
        if source.startswith("-", at) and source[at + 1 : at + 2] not in ("", "]"):
            part, at = _member(source, at + 1, ends_range=True)
            parts.append(f"-{part}")
    return "".join(parts) + source[at : at + 1], at + 1


def _member(source: str, at: int, *, ends_range: bool = False) -> tuple[str, int]:
    character = source[at]
    if character == "\\":
        return _escape(source[at + 1 : at + 2], in_class=True), at + 2
    doubled_dash = character == "-" and (ends_range or source.startswith("--", at))
    return "\\" + character if doubled_dash or character in RESERVED_IN_CLASS else character, at + 1


def _escape(letter: str, *, in_class: bool = False) -> str:
    if letter.isascii() and letter.isalpha():
        known = letter in KNOWN_ESCAPES and not (in_class and letter in ANCHORS)
        return "\\" + letter if known else letter
    return "\\" + letter
