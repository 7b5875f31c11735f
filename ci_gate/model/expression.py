"""Regular expressions of layouts: Python's ``re`` under the rules of ``spec/layout.md`` 2.1."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

UNICODE_WANTED = re.compile(r"\(\?[aimsx]*u")

Search = Callable[[str], bool]


def python_pattern(source: str) -> re.Pattern[str]:
    """Raises ``re.error``."""
    return re.compile(source, 0 if UNICODE_WANTED.match(source) else re.ASCII)


@dataclass(frozen=True, slots=True)
class Expression:
    """One expression of a layout, compiled once, when it is first needed. Equal if the source texts are equal.

    ``python_source`` is the text that today's ``re`` understands (the loader translates what Python 2.7 read
    otherwise); by default the source itself. ``make_search`` gives a search that says the same as ``re`` would, in
    bounded time, for texts that strangers write; ``make_match`` the same for expressions that ``re`` may never be done
    with. None where there is no need, or no such way. An expression that does not compile raises ``re.error`` when it
    is first asked: the loader lets none pass.
    """

    source: str
    python_source: str = field(default="", compare=False)
    make_search: Callable[[], Search | None] | None = field(default=None, compare=False, repr=False)
    make_match: Callable[[], Search | None] | None = field(default=None, compare=False, repr=False)
    _match: Callable[[str], object] | None = field(default=None, init=False, repr=False, compare=False)
    _search: Callable[[str], object] | None = field(default=None, init=False, repr=False, compare=False)

    def __reduce__(self) -> tuple[type[Expression], tuple[object, ...]]:
        return Expression, (self.source, self.python_source, self.make_search, self.make_match)

    def match(self, text: str) -> bool:
        """Does it match from the first character? It need not reach the end."""
        return bool((self._match or self._first_match())(text))

    def matching(self, texts: Iterable[str]) -> list[str]:
        """Those of the texts that it matches from their first character on."""
        match = self._match or self._first_match()
        return [each for each in texts if match(each)]

    def search(self, text: str) -> bool:
        """Does it match anywhere?"""
        return bool((self._search or self._first_search())(text))

    def prepare(self) -> None:
        """Compile now what would be compiled at the first use."""
        if self.make_search:
            self._first_search()
        if self.make_match or not self.make_search:
            self._first_match()

    def _first_match(self) -> Callable[[str], object]:
        match = (self.make_match() if self.make_match else None) or self._compiled().match
        object.__setattr__(self, "_match", match)
        return match

    def _first_search(self) -> Callable[[str], object]:
        search = (self.make_search() if self.make_search else None) or self._compiled().search
        object.__setattr__(self, "_search", search)
        return search

    def _compiled(self) -> re.Pattern[str]:
        return python_pattern(self.python_source or self.source)
