"""Does a submit requirement let a change pass, our own labels aside? (gerrit-wire.md 4.6 (b))

Gerrit says whether the requirement is met now. Whether it would be met with our vote is read out of its expression,
in three values: what our own labels decide is unknown, and unknown is no reason to keep a change out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache

from ci_gate.model.change import AtomsSeen, SubmitRequirement, normal_label

PASSING = ("SATISFIED", "OVERRIDDEN", "NOT_APPLICABLE", "FORCED")
DEEPEST = 100  # parentheses and signs within each other
TOKEN = re.compile(r"""\s*(?:(?P<sign>[()]|-(?=\S))|(?P<word>(?:"[^"]*"|\{[^}]*\}|[^\s()"{])+))""")
END = re.compile(r"\s*")
MARKS = re.compile(r'["{}]')
LABEL = re.compile(r"label:(?P<name>[^=<>,]+)", re.IGNORECASE)
VALUE = re.compile(r"[+-]\d+")


class UnreadableError(ValueError):
    """An expression that is not of the grammar known here."""


@dataclass(frozen=True, slots=True)
class Atom:
    text: str


@dataclass(frozen=True, slots=True)
class Not:
    term: Term


@dataclass(frozen=True, slots=True)
class All:
    terms: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    terms: tuple[Term, ...]


Term = Atom | Not | All | AnyOf


def passes(requirement: SubmitRequirement, ours: Collection[str]) -> bool:
    """``ours`` are normal names of labels that do not count."""
    if requirement.status in PASSING:
        return True
    if requirement.status != "UNSATISFIED":
        return False
    named = normal_label(requirement.name) in ours
    if requirement.is_legacy or requirement.submittability is None:
        return named
    try:
        if _value(requirement.submittability, ours) is not False:
            return True
    except UnreadableError:
        if named:
            return True
    try:
        return requirement.override is not None and _value(requirement.override, ours) is None
    except UnreadableError:
        return False


def _value(seen: AtomsSeen, ours: Collection[str]) -> bool | None:
    """None: unknown. Raises UnreadableError."""
    passing = {MARKS.sub("", each) for each in seen.passing}

    def holds(atom: str) -> bool | None:
        label = label_of(atom)
        if label is not None and normal_label(label) in ours:
            return None
        return MARKS.sub("", atom) in passing

    return evaluate(parse(seen.expression), holds)


def evaluate(term: Term, holds: Callable[[str], bool | None]) -> bool | None:
    """Kleene's logic; ``holds`` tells of an atom, and None is unknown."""
    match term:
        case Atom(text):
            return holds(text)
        case Not(inner):
            value = evaluate(inner, holds)
            return None if value is None else not value
        case All(terms):
            return _first((evaluate(each, holds) for each in terms), decisive=False)
        case AnyOf(terms):
            return _first((evaluate(each, holds) for each in terms), decisive=True)


def _first(values: Iterator[bool | None], *, decisive: bool) -> bool | None:
    """One decisive value is enough; else one unknown makes it unknown."""
    found = set(values)
    if decisive in found:
        return decisive
    return None if None in found else not decisive


def label_of(atom: str) -> str | None:
    """The label that an atom asks for: ``label:Verified=MAX``, ``label:Verified+1,user=x``; None if it is none."""
    found = LABEL.match(MARKS.sub("", atom))
    if found is None:
        return None
    name = found["name"]
    for each in VALUE.finditer(name):
        if each.end() == len(name):
            return name[: each.start()]
    return name


@lru_cache(maxsize=1000)
def parse(expression: str) -> Term:
    """Raises UnreadableError. ``AND`` or a blank binds tighter than ``OR``; ``NOT`` or ``-`` stands in front."""
    return _Reader(expression).whole()


class _Reader:
    """Reads one expression, token by token."""

    def __init__(self, expression: str) -> None:
        self._tokens = _tokens(expression)
        self._at = 0
        self._depth = 0

    def whole(self) -> Term:
        term = self._any_of()
        if self._next is not None:
            raise UnreadableError(f"{self._next!r} is not expected")
        return term

    @property
    def _next(self) -> str | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _any_of(self) -> Term:
        terms = [self._all()]
        while self._next == "OR":
            self._at += 1
            terms.append(self._all())
        return terms[0] if len(terms) == 1 else AnyOf(tuple(terms))

    def _all(self) -> Term:
        terms = [self._term()]
        while self._next not in (None, "OR", ")"):
            if self._next == "AND":
                self._at += 1
            terms.append(self._term())
        return terms[0] if len(terms) == 1 else All(tuple(terms))

    def _term(self) -> Term:
        found = self._next
        if found in (None, "AND", "OR", ")"):
            raise UnreadableError("something is missing" if found is None else f"{found!r} is not expected")
        self._at += 1
        if found not in ("(", "NOT", "-"):
            return Atom(str(found))
        self._depth += 1
        if self._depth > DEEPEST:
            raise UnreadableError("too deep")
        if found == "(":
            inner = self._any_of()
            if self._next != ")":
                raise UnreadableError("a parenthesis is not closed")
            self._at += 1
        else:
            inner = Not(self._term())
        self._depth -= 1
        return inner


def _tokens(expression: str) -> list[str]:
    """Signs and words; a ``-`` counts as a sign only at a word's beginning. Raises UnreadableError."""
    tokens, at = [], 0
    while (found := TOKEN.match(expression, at)) is not None:
        tokens.append(found["sign"] or found["word"])
        at = found.end()
    if END.fullmatch(expression, at) is None:
        raise UnreadableError(f"cannot read {expression[at:]!r}")
    return tokens
