"""Regular expressions of layouts: Python's ``re`` under the rules of ``spec/layout.md`` 2.1."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

UNICODE_WANTED = re.compile(r"\(\?[aimsx]*u")


@dataclass(frozen=True, slots=True)
class Expression:
    """One expression of a layout, compiled once. Equal if the source texts are equal.

    ``python_source`` is the text that today's ``re`` understands (the loader translates what Python 2.7 read
    otherwise); by default the source itself. ``searcher`` says the same as ``re`` would, in linear time: for texts that
    strangers write.
    """

    source: str
    python_source: str = field(default="", compare=False)
    searcher: Callable[[str], bool] | None = field(default=None, compare=False, repr=False)
    _compiled: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Raises ``re.error`` if the expression does not compile."""
        text = self.python_source or self.source
        object.__setattr__(self, "_compiled", re.compile(text, 0 if UNICODE_WANTED.match(text) else re.ASCII))

    def match(self, text: str) -> bool:
        """Does it match from the first character? It need not reach the end."""
        return self._compiled.match(text) is not None

    def search(self, text: str) -> bool:
        """Does it match anywhere?"""
        return self.searcher(text) if self.searcher else self._compiled.search(text) is not None
