"""Reports that are on their way: part of the scheduler's memory. The rules are in ``reporting.py``."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from ci_gate.model.report import Report
from ci_gate.scheduler.state import Item

MOST_GIVEN_UP = 100

Lane = tuple[str, str]  # a connection, and the change (or the mail) whose reports leave in order


@dataclass(slots=True, eq=False)
class Outgoing:
    """A report on its way. Times are seconds since the epoch."""

    number: int
    lane: Lane
    report: Report
    item: Item
    is_start: bool
    created_at: float
    tries: int = 0
    first_tried_at: float | None = None
    under_way: bool = False
    last_answer: str = ""


@dataclass(slots=True)
class Outbound:
    """All reports that have not arrived yet, and the last ones that were given up (for the operator)."""

    lanes: dict[Lane, deque[Outgoing]] = field(default_factory=dict)
    by_number: dict[int, Outgoing] = field(default_factory=dict)
    given_up: deque[Outgoing] = field(default_factory=lambda: deque(maxlen=MOST_GIVEN_UP))
    created: int = 0
