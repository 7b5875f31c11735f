"""Figures as medians of several runs, and the table that shows them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One row: what was measured, in which unit, how often, and what is wanted of it."""

    what: str
    unit: str
    runs: Sequence[float]
    wanted: str

    @property
    def median(self) -> float:
        return statistics.median(self.runs)

    def row(self) -> str:
        numbers = " … ".join(_short(each) for each in (min(self.runs), max(self.runs)))
        return f"| {self.what} | **{_short(self.median)} {self.unit}** | {numbers} | {len(self.runs)} | {self.wanted} |"


def table(figures: Sequence[Figure]) -> str:
    head = "| measured | median | least … most | runs | wanted |\n|---|---|---|---|---|\n"
    return head + "\n".join(each.row() for each in figures) + "\n"


def _short(number: float) -> str:
    if number >= 100:
        return f"{number:,.0f}"
    return f"{number:.1f}" if number >= 1 else f"{number:.2f}"
