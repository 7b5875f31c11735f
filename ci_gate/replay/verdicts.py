"""What a layout's expressions found, so that a record whose texts were replaced still replays without them.

The expressions themselves are replaced by lists of the texts that they matched, in the new words.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, TypeVar

from ci_gate.model.expression import Expression, Search
from ci_gate.model.layout import Layout
from ci_gate.replay.names import OtherNames, Renamed

T = TypeVar("T")
SEARCH, MATCH = "search", "match"
Name = str
Tables = dict[Name, dict[str, list[str]]]
"""By the expression's new name the texts in which it was found, and those that it matched from the beginning."""


def with_expressions(value: T, change: Callable[[Expression], Expression]) -> T:
    """A copy of a layout or of a part of it, with other expressions."""
    changed: Any = _changed(value, change)
    return changed  # type: ignore[no-any-return]  # of the same kind as what was given


def _changed(value: Any, change: Callable[[Expression], Expression]) -> Any:
    if isinstance(value, Expression):
        return change(value)
    if isinstance(value, tuple):
        parts = [_changed(each, change) for each in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if isinstance(value, Mapping):
        return {name: _changed(each, change) for name, each in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{each.name: _changed(getattr(value, each.name), change) for each in _given(value)})
    return value


def _given(value: Any) -> list[Any]:
    return [each for each in fields(value) if each.init]


@dataclass(slots=True)
class Verdicts:
    """``found`` are the texts, as they were, in which expressions were found; by source, and by how they were asked."""

    found: dict[tuple[str, str], dict[str, None]] = field(default_factory=dict)

    def watch(self, layout: Layout) -> Layout:
        """The same layout, whose expressions are remembered with what they find."""
        return with_expressions(layout, self._watched)

    def _watched(self, expression: Expression) -> Expression:
        return Expression(
            expression.source,
            make_search=lambda: self._noting((expression.source, SEARCH), expression.search),
            make_match=lambda: self._noting((expression.source, MATCH), expression.match),
        )

    def _noting(self, asked: tuple[str, str], ask: Search) -> Search:
        found = self.found.setdefault(asked, {})

        def search(text: str) -> bool:
            if not ask(text):
                return False
            found[text] = None
            return True

        return search

    def tables(self, names: OtherNames) -> Tables:
        """In other words."""
        told: Tables = {}
        for (source, asked), texts in self.found.items():
            told.setdefault(expression_name(names, source), {})[asked] = [names.text(each) for each in texts]
        return told


def expression_name(names: OtherNames, source: str) -> Name:
    return names.text(f"expression {source}", "expression")


def renamed_layout(text: str, names: OtherNames) -> str:
    """A layout as the journal keeps it, in other words. An expression is ``[source, for strangers]`` there."""
    return json.dumps(names.value(_without_expressions(json.loads(text), names)))


def _without_expressions(value: Any, names: OtherNames) -> Any:
    match value:
        case [str() as source, bool() as for_strangers]:
            return [Renamed(expression_name(names, source)), for_strangers]
        case list():
            return [_without_expressions(each, names) for each in value]
        case dict():
            return {name: _without_expressions(each, names) for name, each in value.items()}
        case _:
            return value


def told_layout(layout: Layout, tables: Tables) -> Layout:
    """A layout of a bundle, whose expressions find what they found when it was made."""
    return with_expressions(layout, lambda each: _told(each, tables.get(each.source, {})))


def _told(expression: Expression, found: Mapping[str, list[str]]) -> Expression:
    searched, matched = (frozenset(found.get(each, ())) for each in (SEARCH, MATCH))
    return Expression(
        expression.source,
        make_search=lambda: searched.__contains__,
        make_match=lambda: matched.__contains__,
    )
