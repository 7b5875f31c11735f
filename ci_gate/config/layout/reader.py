"""Collects what is wrong while a layout is read, once each, with its place (``spec/layout.md`` 1 and 10)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from ci_gate.config.document import Document, Place, place_of, scalar_value
from ci_gate.config.layout.expressions import BadExpressionError, compile_expression, doubts_about
from ci_gate.config.nearest import nearest
from ci_gate.config.problems import Level, Problem
from ci_gate.model.expression import Expression

WARNINGS = frozenset(
    {
        "duplicate-key",
        "timer-month",
        "deprecated-ignored",
        "regex-without-caret",
        "lenient-shape",
        "repeated-job",
        "no-effect",
        "always-true",
        "never-matches",
        "slow-regex",
        "bad-pattern",
    }
)
NOTES = frozenset({"unused", "pattern-after-job", "conditional-parent"})
LONGEST_QUOTE = 60


class Reader:
    """One reading of one layout file: its document, the connections that exist, and the problems so far.

    ``connections`` maps names to drivers; None if they are not known (a lone layout).
    """

    def __init__(self, file: str, document: Document, connections: dict[str, str] | None) -> None:
        self.document = document
        self.connections = connections
        self._file = file
        self._problems: dict[tuple[Place, str, str], Problem] = {}
        self._expressions: dict[tuple[str, bool], tuple[Expression, list[tuple[str, str]]] | str] = {}

    def report(
        self, code: str, place: Place, text: str, *, about: str | None = None, level: Level | None = None
    ) -> None:
        """Note a problem.

        A place that aliases share is reported once: ``about`` is what the problem is about, where the text also
        says under which key, or in which pipeline or project, it was met.
        """
        level = level or (Level.WARNING if code in WARNINGS else Level.NOTE if code in NOTES else Level.ERROR)
        key = (place, code, text if about is None else about)
        self._problems.setdefault(key, Problem(self._file, place.line, place.column, level, one_line(text), code))

    @property
    def problems(self) -> list[Problem]:
        """By position."""
        return sorted(self._problems.values(), key=lambda each: (each.line, each.column))

    @property
    def expressions(self) -> Iterator[Expression]:
        """All that compile, each once."""
        return (each[0] for each in self._expressions.values() if not isinstance(each, str))

    # --- connections ---

    def has_driver(self, name: str, driver: str) -> bool:
        """Where the connections are not known, any name may be one of that kind."""
        return self.connections is None or self.connections.get(name) == driver

    def connections_with(self, *drivers: str) -> list[str]:
        return [name for name, driver in (self.connections or {}).items() if driver in drivers]

    def driver_text(self, name: str) -> str:
        """Why a connection that exists is not available here."""
        driver = (self.connections or {}).get(name)
        return f" (the connection {name} is of driver {driver})" if driver else ""

    # --- values ---

    def mistyped(self, name: str, wanted: str, node: Node, key: Node | None = None) -> None:
        """``voting must be true or false, not the string "no"``; for a bare name the advice to quote it."""
        advice = ""
        if wanted.startswith("a string") and is_bare(node):
            advice = f'; quote it: "{node.value}"'
        text = f"{name} must be {wanted}, not {described(node)}{advice}"
        self.report("bad-type", spot(node, key), text, about=wanted)

    def refused(self, name: str, value: str, allowed: str, place: Place, *, near: Iterable[str] = ()) -> None:
        meant = nearest(value, near)
        hint = f'did you mean "{meant}"? ' if meant else ""
        text = f'{name}: "{shortened(value)}" is not allowed; {hint}allowed: {allowed}'
        self.report("bad-value", place, text, about=allowed)

    def text(self, name: str, node: Node, key: Node | None = None) -> str | None:
        value = scalar_value(node)
        if isinstance(value, str):
            return value
        self.mistyped(name, "a string", node, key)
        return None

    def compiled(self, name: str, source: str, node: Node, *, for_strangers: bool = False) -> Expression | None:
        known = self._expressions.get((source, for_strangers))
        if known is None:
            known = self._expressions[source, for_strangers] = _compiled(source, for_strangers=for_strangers)
        if isinstance(known, str):
            self.report("bad-regex", place_of(node), f"{name}: not a valid regular expression: {known}", about=known)
            return None
        expression, doubts = known
        for code, text in doubts:
            self.report(code, place_of(node), f"{name}: {text}", about=text)
        return expression

    def members(self, name: str, node: Node, wanted: str, key: Node | None = None) -> list[Node]:
        """The members of a list; anything else is a problem and has none."""
        if isinstance(node, SequenceNode):
            return list(node.value)
        self.mistyped(name, wanted, node, key)
        return []


def _compiled(source: str, *, for_strangers: bool) -> tuple[Expression, list[tuple[str, str]]] | str:
    """With what is to be said of it; the reason if it does not compile."""
    try:
        expression = compile_expression(source, for_strangers=for_strangers)
    except BadExpressionError as problem:
        return str(problem)
    return expression, list(doubts_about(expression, for_strangers=for_strangers))


def spot(node: Node, key: Node | None) -> Place:
    """Where a problem with a value is shown: at the value, or at its key if nothing was written."""
    return place_of(key if key and is_unwritten(node) else node)


def is_unwritten(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.value == "" and scalar_value(node) is None


def is_null(node: Node) -> bool:
    return scalar_value(node) is None


def is_bare(node: Node) -> bool:
    """A name that YAML reads as a number, a boolean or null, unless somebody quotes it."""
    return isinstance(node, ScalarNode) and node.value != "" and not isinstance(scalar_value(node), str)


def described(node: Node) -> str:
    """What was found, for messages: ``a list``, ``the number 5``, ``the string "no"``."""
    if isinstance(node, MappingNode):
        return "a mapping"
    if isinstance(node, SequenceNode):
        return "a list"
    value = scalar_value(node)
    match value:
        case None:
            return "null" if node.value else "nothing"
        case bool():
            shown = str(value).lower()
            return shown if node.value.lower() == shown else f"{node.value} (which YAML reads as {shown})"
        case int() | float():
            return f"the number {node.value}"
        case _:
            return f'the string "{shortened(node.value)}"'


def one_line(text: str) -> str:
    """What a file or an exception says, fit for a line on a terminal: control and invisible characters escaped."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def shortened(text: str) -> str:
    return text if len(text) <= LONGEST_QUOTE else text[: LONGEST_QUOTE - 1] + "…"
