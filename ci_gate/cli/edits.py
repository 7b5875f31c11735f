"""``ci-gate validate --base``: what an edit changes, as a reviewer reads it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from ci_gate.model.layout import Layout
from ci_gate.questions.difference import JobsChanged, difference

MOST_BRANCHES_SHOWN = 4


class Edit:
    """From one layout to the next."""

    def __init__(self, old: Layout, new: Layout) -> None:
        self._found = difference(old, new)

    def facts(self) -> dict[str, Any]:
        return asdict(self._found)

    def lines(self) -> Iterator[str]:
        found = self._found
        if found.is_empty:
            yield "Nothing that runs changes."
        for pipeline in dict.fromkeys(each.pipeline for each in found.jobs):
            yield f"{pipeline}:"
            yield from (f"  {_line(each)}" for each in found.jobs if each.pipeline == pipeline)
        if found.attributes:
            yield "jobs:"
        for each in found.attributes:
            yield f"  {each.job}: {each.attribute} {_shown(each.before)} → {_shown(each.after)}"


def _line(change: JobsChanged) -> str:
    jobs = [*(f"+{name}" for name in change.gained), *(f"-{name}" for name in change.lost)]
    return f"{change.project}: {' '.join(jobs)}{_where(change.branches)}"


def _where(branches: tuple[str, ...] | None) -> str:
    if branches is None:
        return ""
    shown = ", ".join(branches[:MOST_BRANCHES_SHOWN])
    more = len(branches) - MOST_BRANCHES_SHOWN
    return f" (on {shown}{f' and {more} more' if more > 0 else ''})"


def _shown(value: object) -> str:
    return "(default)" if value is None else json.dumps(value, ensure_ascii=False)
