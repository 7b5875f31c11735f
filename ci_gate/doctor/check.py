"""What a check finds, as values."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

SHOWN = 3  # names in a line of text


class UnansweredError(Exception):
    """A question got no answer, or none that helps; ``fix`` is what to do about it, if that is known."""

    def __init__(self, text: str, fix: str = "") -> None:
        super().__init__(text)
        self.fix = fix


class Mark(StrEnum):
    GOOD = "good"
    WRONG = "wrong"
    UNKNOWN = "unknown"  # it cannot be told from here
    NOT_TRIED = "not-tried"


@dataclass(frozen=True, slots=True)
class Finding:
    """``text`` is one line, ``fix`` what to do about it; ``items`` are all names that the text counts."""

    mark: Mark
    text: str
    fix: str = ""
    items: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Check:
    """What a step has found. ``took_s``: seconds."""

    group: str
    name: str
    finding: Finding
    took_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to look at. ``needs`` are names of steps of any group that must not be wrong; ``needs`` of the same
    group are written as their names alone, others as ``group/name``. ``look`` answers None if there is nothing to say.
    """

    group: str
    name: str
    look: Callable[[], Awaitable[Finding | None]]
    needs: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return f"{self.group}/{self.name}"

    @property
    def prerequisites(self) -> tuple[str, ...]:
        return tuple(each if "/" in each else f"{self.group}/{each}" for each in self.needs)


def good(text: str, *, items: Iterable[str] = ()) -> Finding:
    return Finding(Mark.GOOD, text, items=tuple(items))


def wrong(text: str, fix: str, *, items: Iterable[str] = ()) -> Finding:
    return Finding(Mark.WRONG, text, fix, tuple(items))


def unknown(text: str, fix: str = "", *, items: Iterable[str] = ()) -> Finding:
    return Finding(Mark.UNKNOWN, text, fix, tuple(items))


def not_tried(text: str, fix: str = "") -> Finding:
    return Finding(Mark.NOT_TRIED, text, fix)


def some(names: Iterable[str]) -> str:
    """The first few of them, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    return ", ".join(listed[:SHOWN]) + more


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
