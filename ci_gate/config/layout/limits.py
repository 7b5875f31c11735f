"""What becomes of searches that take too long (``timed.py``): answers that depend on the clock, and so oracles.

While the service decides, such a search counts as not found, and is remembered until the record of the step takes it.
A replay reads back which ones these were, and lets all others take their time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Protocol

import structlog

LONGEST_SEARCH_S = 0.1
LONGEST_REPLAYED_S = 10.0  # for what did not take too long then, however slow this machine is
MOST_REMEMBERED = 1000  # where nobody takes them: commands about layouts

Ask = Callable[..., object]

log = structlog.stdlib.get_logger("zuul.Scheduler")


@dataclass(frozen=True, slots=True)
class TimedOut:
    """A search that took too long: the expression's source, and the digest of the text."""

    expression: str
    text: str

    @classmethod
    def of(cls, expression: str, text: str) -> TimedOut:
        return cls(expression, blake2b(text.encode("utf-8", "replace"), digest_size=16).hexdigest())


class Limits(Protocol):
    def found(self, expression: str, text: str, ask: Ask) -> bool:
        """``ask`` is called with the text, and ``timeout`` in seconds; it may raise TimeoutError."""


@dataclass(slots=True)
class Remembering:
    """Those of the service: one thread decides, and takes them after each step."""

    struck: deque[TimedOut] = field(default_factory=lambda: deque(maxlen=MOST_REMEMBERED))

    def found(self, expression: str, text: str, ask: Ask) -> bool:
        try:
            return ask(text, timeout=LONGEST_SEARCH_S) is not None
        except TimeoutError:
            log.warning("an expression takes too long on a text: taken as not found", expression=expression)
            self.struck.append(TimedOut.of(expression, text))
            return False


@dataclass(frozen=True, slots=True)
class AsRecorded:
    """Those of a replay."""

    struck: frozenset[TimedOut]

    def found(self, expression: str, text: str, ask: Ask) -> bool:
        if TimedOut.of(expression, text) in self.struck:
            return False
        try:
            return ask(text, timeout=LONGEST_REPLAYED_S) is not None
        except TimeoutError:
            log.warning("an expression takes longer than when this was recorded", expression=expression)
            return False


_live = Remembering()
_in_force: ContextVar[Limits] = ContextVar("limits of searches", default=_live)


def found_in_time(expression: str, text: str, ask: Ask) -> bool:
    return _in_force.get().found(expression, text, ask)


def take_timed_out() -> list[TimedOut]:
    """What took too long since the last time, in order."""
    taken = list(_live.struck)
    _live.struck.clear()
    return taken


@contextmanager
def as_recorded(struck: Iterable[TimedOut]) -> Iterator[None]:
    """Within, searches take too long if they did so then, and no others."""
    token = _in_force.set(AsRecorded(frozenset(struck)))
    try:
        yield
    finally:
        _in_force.reset(token)
