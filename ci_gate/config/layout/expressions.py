"""Regular expressions as Python 2.7 understood them, in the words of today's ``re`` (``spec/layout.md`` 2.1)."""

from __future__ import annotations

import re
from dataclasses import replace

from ci_gate.config.layout.linear import linear_search
from ci_gate.model.expression import Expression

INLINE_FLAGS = re.compile(r"\(\?([aiLmsux]+)\)")
KNOWN_ESCAPES = frozenset("aAbBdDfnrsStvwWxZ")
"""Letters that a backslash gives a meaning in 2.7; before other letters it stands for nothing."""
ANCHORS = frozenset("ABZ")
"""Those of them that mean nothing within brackets."""
RESERVED_IN_CLASS = frozenset("[&~|")
"""Plain characters within brackets, which today's ``re`` warns about."""


class BadExpressionError(Exception):
    """Does not compile; the text is the parser's reason, with the offset."""


def compile_expression(source: str, *, for_strangers: bool = False) -> Expression:
    """``for_strangers``: it is searched for in what anybody may write. Raises BadExpressionError."""
    try:
        translated = _translated(source)
        expression = Expression(source, python_source=translated)
        return replace(expression, searcher=linear_search(translated)) if for_strangers else expression
    except re.error as problem:
        at = f" at offset {problem.pos}" if problem.pos is not None and _same_offsets(source) else ""
        raise BadExpressionError(f"{problem.msg}{at}") from problem
    except (OverflowError, RecursionError) as problem:
        raise BadExpressionError("too large a number or nested too deeply") from problem


def _same_offsets(source: str) -> bool:
    return _translated(source) == source


def _translated(source: str) -> str:
    """Inline flags go to the front; a backslash before a letter without a meaning goes away."""
    flags: list[str] = []
    parts: list[str] = []
    at = 0
    in_class = False
    while at < len(source):
        character = source[at]
        found = INLINE_FLAGS.match(source, at) if character == "(" and not in_class else None
        if character == "\\" and at + 1 < len(source):
            parts.append(_escape(source[at + 1], in_class=in_class))
            at += 2
        elif found:
            flags += [flag for flag in found[1] if flag not in flags and flag != "L"]
            at = found.end()
        elif character == "[" and not in_class:
            in_class = True
            opening = "[^" if source.startswith("[^", at) else "["
            at += len(opening)
            if source.startswith("]", at):  # a bracket that comes first belongs to the class
                opening += "]"
                at += 1
            parts.append(opening)
        else:
            in_class = in_class and character != "]"
            doubled = character == "-" and parts[-1:] == ["-"]
            parts.append("\\" + character if in_class and (doubled or character in RESERVED_IN_CLASS) else character)
            at += 1
    body = "".join(parts)
    return f"(?{''.join(flags)}){body}" if flags else body


def _escape(letter: str, *, in_class: bool) -> str:
    if letter.isascii() and letter.isalpha():
        known = letter in KNOWN_ESCAPES and not (in_class and letter in ANCHORS)
        return "\\" + letter if known else letter
    return "\\" + letter
