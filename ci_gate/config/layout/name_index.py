"""Which of many names an expression matches, without trying them all: entries under ``jobs`` against names of jobs.

A layout may have hundreds of patterns and tens of thousands of jobs. Most patterns only say how a name begins and ends,
which sorted lists answer; for nearly all others, what a match must begin with or contain leaves few names to try.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from itertools import accumulate
from typing import NamedTuple

from ci_gate.model.expression import Expression

FEW = 20  # that many are tried as fast as they are narrowed down
TELLING = 4  # characters that few names share
LAST = "\U0010ffff"
LITERAL = r"(?:[^\\^$.|?*+()\[\]{}]|\\[^\w])+"
ENDS = re.compile(rf"\^?(?P<prefix>{LITERAL})?(?P<gap>\.\*)?(?P<suffix>{LITERAL})?(?P<end>\$)?", re.DOTALL)
TOKEN = re.compile(
    rf"(?P<literal>{LITERAL})(?P<loose>[*?])?|(?P<open>\((?:\?(?:[:=!]|<[=!]))?(?!\?))|(?P<close>\))|(?P<or>\|)"
    r"|\[\^?[^\]\\\[]+\]|\\.|[.^$*+?]|(?P<other>.)",
    re.DOTALL,
)
LAST_CHARACTER = re.compile(r"\\?.\Z", re.DOTALL)
ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class Literals(NamedTuple):
    """What every text has that an expression matches from its first character on: how it begins, and one of several
    parts of it. Empty where nothing is certain."""

    prefix: str = ""
    parts: tuple[str, ...] = ()


def literals(source: str) -> Literals:
    prefix = inside = ""
    options: tuple[str, ...] = ()
    groups = _Groups()
    for token in TOKEN.finditer(source):
        if token["other"]:
            return Literals()
        if groups.follow(token):
            if not groups.depth and all(groups.texts) and source[token.end() :][:1] not in ("?", "*"):
                options = tuple(groups.texts)
        elif token["or"]:
            return Literals()
        elif source[: token.start()] in ("", "^"):
            prefix = _certain(token)
        else:
            inside = max(inside, _certain(token), key=len)
    return Literals(prefix, options if len(inside) < TELLING and options else (inside,) if inside else ())


class _Groups:
    """Follows the groups of an expression. ``texts``: of the outermost, the longest text that each alternative has."""

    def __init__(self) -> None:
        self.depth = 0
        self.texts: list[str] = []
        self._only_looks = False

    def follow(self, token: re.Match[str]) -> bool:
        """Is it within a group, or does one begin or end with it?"""
        if token["open"]:
            self.depth += 1
            if self.depth == 1:
                self.texts = [""]
                self._only_looks = token["open"] not in ("(", "(?:")
            return True
        if not self.depth:
            return False
        if token["close"]:
            self.depth -= 1
        elif self.depth == 1 and token["or"]:
            self.texts.append("")
        elif self.depth == 1 and not self._only_looks:
            self.texts[-1] = max(self.texts[-1], _certain(token), key=len)
        return True


def _certain(token: re.Match[str]) -> str:
    """The text that a token stands for, less a last character that may be missing."""
    text = token["literal"] or ""
    return ESCAPE.sub(r"\1", LAST_CHARACTER.sub("", text) if token["loose"] else text)


class NameIndex:
    def __init__(self, names: Iterable[str]) -> None:
        """Names have no line ends."""
        self._names = sorted(names)
        self._backwards = sorted([each[::-1] for each in self._names])
        self._text = "\n".join(self._names)
        self._starts = list(accumulate([len(each) + 1 for each in self._names], initial=0))

    def matching(self, expression: Expression) -> list[str]:
        """All names that the expression matches from their first character on."""
        ends = ENDS.fullmatch(expression.source)
        if ends is not None and (ends["end"] or not ends["suffix"]):
            prefix, suffix = (ESCAPE.sub(r"\1", ends[each] or "") for each in ("prefix", "suffix"))
            if ends["end"] and not ends["gap"]:
                return [each for each in _beginning(self._names, prefix)[:1] if each == prefix]
            return self._between(prefix, suffix)
        wanted = literals(expression.source)
        names = _beginning(self._names, wanted.prefix)
        if len(names) > FEW and wanted.parts:
            names = self._containing(wanted.parts, names)
        return expression.matching(names)

    def _between(self, prefix: str, suffix: str) -> list[str]:
        beginning = _beginning(self._names, prefix)
        if not suffix:
            return beginning
        ending = _beginning(self._backwards, suffix[::-1])
        shortest = len(prefix) + len(suffix)
        if len(beginning) < len(ending):
            return [each for each in beginning if len(each) >= shortest and each.endswith(suffix)]
        return [name for each in ending if len(each) >= shortest and (name := each[::-1]).startswith(prefix)]

    def _containing(self, parts: Iterable[str], names: list[str]) -> list[str]:
        """Those of the names, which stand together, that contain one of the parts: one search through all of them, end
        to end, is faster than one in each."""
        first, last = bisect_left(self._names, names[0]), bisect_left(self._names, names[-1])
        found: dict[str, None] = {}
        for part in parts:
            at = self._text.find(part, self._starts[first], self._starts[last + 1])
            while at >= 0:
                index = bisect_right(self._starts, at) - 1
                found[self._names[index]] = None
                at = self._text.find(part, self._starts[index + 1], self._starts[last + 1])
        return list(found)


def _beginning(names: list[str], prefix: str) -> list[str]:
    """Those of the sorted names that begin so."""
    if not prefix or prefix[-1] == LAST:
        return [each for each in names if each.startswith(prefix)] if prefix else names
    after = prefix[:-1] + chr(ord(prefix[-1]) + 1)
    return names[bisect_left(names, prefix) : bisect_left(names, after)]
