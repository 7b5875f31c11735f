"""Queries of the simulated Gerrit: the query language, as far as a CI system uses it, and the rows of an answer.

Called by `gerrit query`. The language: terms `OPERATOR:VALUE`, values in `"…"` or `{…}` where they hold blanks,
bare numbers, Change-Ids and words, `AND` (or a mere blank), `OR`, `NOT` or `-`, parentheses (gerrit-wire.md 4.1,
4.2, 4.5).
"""

import operator
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from ci_gate.sandbox.gerrit_json import Json, QueryOptions
from ci_gate.sandbox.gerrit_site import Site
from ci_gate.sandbox.gerrit_submit import unsatisfied
from ci_gate.sandbox.gerrit_values import Change, SiteSettings, label_key

Predicate = Callable[[Change], bool]

_TOKEN = re.compile(r"""\s*(?:(?P<mark>[()])|(?P<word>-?(?:"[^"]*"|\{[^}]*\}|[^\s(){}"])+)|(?P<open>["{]))""")
_COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "=": operator.eq,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_LABEL = re.compile(r"(?P<name>[^=<>+,]+?)(?P<how>=|>=|<=|>|<|(?=[+-]\d))(?P<value>[+-]?\d+|MAX|MIN)(?P<rest>(?:,.*)?)")


class QueryError(Exception):
    """The query cannot be answered; goes into the error row."""


def answer(site: Site, text: str, options: QueryOptions, *, start: int = 0, limited: bool = True) -> list[Json]:
    """All rows of an answer: the changes, most lately updated first, then the statistics; or one error row."""
    started = time.monotonic()
    try:
        query = _Parser(text, site.settings).parse()
    except QueryError as error:
        return [{"type": "error", "message": str(error)}]
    everything = site.indexed_changes()
    found = filter(query.matches, everything)
    page = sorted(found, key=lambda change: (change.last_updated, change.number), reverse=True)[start:]
    page_size = site.settings.query_limit if limited else len(page)
    more = len(page) > page_size
    if query.limit is not None and query.limit <= page_size:
        # With `limit:` the server does not say that there are more (gerrit-wire.md 4.3).
        page_size, more = query.limit, False
    rows = [site.shapes.row(change, options, everything) for change in page[:page_size]]
    return [*rows, site.shapes.stats(len(rows), started, more=more)]


@dataclass(frozen=True, slots=True)
class _Query:
    matches: Predicate
    limit: int | None


class _Parser:
    """Recursive descent: alternatives of sequences of terms."""

    def __init__(self, text: str, settings: SiteSettings) -> None:
        self._settings = settings
        self._limit: int | None = None
        self._tokens = _tokens(text)
        self._position = 0

    def parse(self) -> _Query:
        matches = self._alternatives()
        if self._peek() is not None:
            raise QueryError(f"line 1: no viable alternative at input '{self._peek()}'")
        return _Query(matches, self._limit)

    def _alternatives(self) -> Predicate:
        choices = [self._sequence()]
        while self._peek() == "OR":
            self._next()
            choices.append(self._sequence())
        return lambda change: any(choice(change) for choice in choices)

    def _sequence(self) -> Predicate:
        terms = [self._term()]
        while self._peek() not in (None, "OR", ")"):
            if self._peek() == "AND":
                self._next()
            terms.append(self._term())
        return lambda change: all(term(change) for term in terms)

    def _term(self) -> Predicate:
        token = self._next()
        match token:
            case None:
                raise QueryError("line 1: no viable alternative at input '<EOF>'")
            case "NOT" | "-":
                return _negated(self._term())
            case "(":
                inside = self._alternatives()
                if self._next() != ")":
                    raise QueryError("line 1: missing ')'")
                return inside
            case _ if token.startswith("-"):
                return _negated(self._operator(token[1:]))
        return self._operator(token)

    def _operator(self, token: str) -> Predicate:
        name, colon, value = token.partition(":")
        if not colon or token[0] in '"{':
            return _default(_unquoted(token))
        value = _unquoted(value)
        match name:
            case "limit" if value.isdigit():
                self._limit = int(value)
                return lambda _: True
            case "status" | "is":
                return self._state(name, value)
            case "label":
                return _label(value, self._settings)
            case "age":
                latest = time.time() - _seconds(value)
                return lambda change: change.last_updated <= latest
        if name not in _OPERATORS:
            raise QueryError(f"Unsupported operator {name}:{value}")
        return _OPERATORS[name](value)

    def _state(self, name: str, value: str) -> Predicate:
        match value:
            case "open" | "pending" | "new":
                return lambda change: change.is_open
            case "closed":
                return lambda change: not change.is_open
            case "merged" | "abandoned":
                return lambda change: change.status == value.upper()
            case "wip" if name == "is":
                return lambda change: change.wip
            case "submittable" if name == "is":
                return lambda change: change.is_open and unsatisfied(self._settings, change) is None
        raise QueryError(f"Unsupported operator {name}:{value}")

    def _peek(self) -> str | None:
        return self._tokens[self._position] if self._position < len(self._tokens) else None

    def _next(self) -> str | None:
        token = self._peek()
        self._position += 1
        return token


def _tokens(text: str) -> list[str]:
    tokens, position = [], 0
    while text[position:].strip():
        found = _TOKEN.match(text, position)
        if found is None or found["open"]:
            expected = '"' if found is None or found["open"] == '"' else "}"
            raise QueryError(f"line 1:{len(text)} mismatched character '<EOF>' expecting '{expected}'")
        tokens.append(found["mark"] or found["word"])
        position = found.end()
    return tokens


def _unquoted(value: str) -> str:
    for opening, closing in ("{}", '""'):
        if value.startswith(opening) and value.endswith(closing) and len(value) > 1:
            value = value[1:-1]
    return value


def _negated(term: Predicate) -> Predicate:
    return lambda change: not term(change)


def _default(value: str) -> Predicate:
    if value.isdigit() or re.fullmatch(r"I[0-9a-f]{8,40}", value):
        return _change(value)
    if re.fullmatch(r"[0-9a-f]{40}", value):
        return _commit(value)
    return _message(value)


def _change(value: str) -> Predicate:
    if value.isdigit():
        return lambda change: change.number == int(value)
    return lambda change: change.change_id.startswith(value)


def _commit(value: str) -> Predicate:
    return lambda change: any(patch_set.revision.startswith(value) for patch_set in change.patch_sets)


def _message(value: str) -> Predicate:
    """Full-text search: the words one after the other, whatever stands between them."""
    words = _words(value)
    return lambda change: _contains(_words(change.current.commit.message), words)


def _owner(value: str) -> Predicate:
    return lambda change: value in (change.owner.username, change.owner.email)


_OPERATORS: dict[str, Callable[[str], Predicate]] = {
    "change": _change,
    "commit": _commit,
    "message": _message,
    "owner": _owner,
    "project": lambda value: lambda change: change.project == value,
    "branch": lambda value: lambda change: change.branch == value.removeprefix("refs/heads/"),
    "topic": lambda value: lambda change: (change.topic or "") == value,
}


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _contains(words: list[str], wanted: list[str]) -> bool:
    return any(words[at : at + len(wanted)] == wanted for at in range(len(words) - len(wanted) + 1))


def _seconds(value: str) -> int:
    found = re.fullmatch(r"(\d+)\s*([smhdw])\w*", value)
    if found is None:
        raise QueryError(f"Invalid age {value}")
    return int(found[1]) * _UNIT_SECONDS[found[2]]


def _label(value: str, settings: SiteSettings) -> Predicate:
    """`NAME=V`, `NAME+V`, `NAME>=V` and the like, with `MAX` and `MIN`, and `,USER` or `,user=USER` behind it."""
    found = _LABEL.fullmatch(value)
    labels = {label_key(label.name): label for label in settings.labels}
    if found is None or label_key(found["name"]) not in labels:
        raise QueryError(f"Unsupported operator label:{value}")
    label = labels[label_key(found["name"])]
    named = {"MAX": label.highest, "MIN": label.lowest}
    wanted = named[found["value"]] if found["value"] in named else int(found["value"])
    user = found["rest"].removeprefix(",").removeprefix("user=")
    holds = _COMPARISONS[found["how"] or "="]
    return lambda change: any(
        holds(vote.value, wanted)
        for vote in change.current.votes
        if vote.label == label.name and user in ("", str(vote.by.username))
    )
