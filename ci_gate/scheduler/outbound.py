"""Reports that are on their way: part of the scheduler's memory. The rules are in ``reporting.py``."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from ci_gate.model.change import SubjectKey
from ci_gate.model.operations import UndeliveredReport
from ci_gate.model.report import Report
from ci_gate.scheduler.state import Item

MOST_GIVEN_UP = 100
MOST_RECORDS_WAITING = 5000  # for one database that is away

Lane = tuple[str, str]  # a connection, and what of it leaves in order: a change's reports, a mail, all records


@dataclass(slots=True, eq=False)
class Outgoing:
    """A report on its way. Times are seconds since the epoch.

    ``subject`` and ``pipeline`` say what it is about; there is no ``item`` for what never entered. ``refusals`` are the
    tries that the other side answered with a failure that may pass.
    """

    number: int
    lane: Lane
    report: Report
    subject: SubjectKey
    pipeline: str | None
    item: Item | None
    is_start: bool
    created_at: float
    tries: int = 0
    refusals: int = 0
    first_tried_at: float | None = None
    under_way: bool = False
    next_try_at: float | None = None
    last_answer: str = ""

    def picture(self) -> UndeliveredReport:
        return UndeliveredReport(
            subject=str(self.subject),
            pipeline=self.pipeline or "",
            connection=self.report.connection,
            since=self.created_at,
            tries=self.tries,
            next_try_at=self.next_try_at,
            text=self.last_answer,
        )

    @property
    def has_failed(self) -> bool:
        """Has some try ended without success?"""
        return self.tries > (1 if self.under_way else 0)


@dataclass(slots=True)
class Outbound:
    """All reports that have not arrived yet, and the last ones that were given up (for the operator)."""

    lanes: dict[Lane, deque[Outgoing]] = field(default_factory=dict)
    by_number: dict[int, Outgoing] = field(default_factory=dict)
    given_up: deque[UndeliveredReport] = field(default_factory=lambda: deque(maxlen=MOST_GIVEN_UP))
    created: int = 0
