"""What the world tells the scheduler. Each input carries its time: ``at``, seconds since the epoch.

The inbox makes them, one at a time, and keeps ``at`` from going backwards.
"""

from __future__ import annotations

from dataclasses import dataclass

from ci_gate.model.build import BuildEnd, BuildUpdate
from ci_gate.model.change import ChangeDetails
from ci_gate.model.commands import OperatorCommand
from ci_gate.model.event import Event
from ci_gate.model.layout import Layout
from ci_gate.model.merge import MergeAnswer
from ci_gate.model.options import SchedulerSettings
from ci_gate.model.report import Delivery
from ci_gate.scheduler.oracle import Oracle


@dataclass(frozen=True, slots=True)
class EventReceived:
    """A Gerrit connection's stream brought an event."""

    at: float
    event: Event


@dataclass(frozen=True, slots=True)
class ChangeAnswered:
    """Gerrit answered a query; ``details`` is None if it knows no such change."""

    at: float
    ticket: int
    details: ChangeDetails | None


@dataclass(frozen=True, slots=True)
class ChangesFound:
    """Gerrit answered a search, in its own order."""

    at: float
    ticket: int
    found: tuple[ChangeDetails, ...]


@dataclass(frozen=True, slots=True)
class QueryFailed:
    """A query or a search brought no answer; a ``transient`` failure may pass."""

    at: float
    ticket: int
    reason: str
    transient: bool = True


@dataclass(frozen=True, slots=True)
class MergeAnswered:
    """A merger answered a merge or an update."""

    at: float
    answer: MergeAnswer


@dataclass(frozen=True, slots=True)
class BuildUpdated:
    """A worker said something about a running build."""

    at: float
    update: BuildUpdate


@dataclass(frozen=True, slots=True)
class BuildEnded:
    """A build came to its end, with or without a result."""

    at: float
    end: BuildEnd


@dataclass(frozen=True, slots=True)
class ReportAnswered:
    """A try to deliver a report has ended."""

    at: float
    report: int
    delivery: Delivery


@dataclass(frozen=True, slots=True)
class SubmitVerified:
    """Was the change of an item merged? ``reason`` says why not, for people.

    ``as_built``: what its branch has now is what was tested, file by file.
    """

    at: float
    item: int
    merged: bool
    reason: str = ""
    as_built: bool = False


@dataclass(frozen=True, slots=True)
class TimerFired:
    """The time that a :class:`~ci_gate.scheduler.effects.SetTimer` named has come."""

    at: float
    timer: str


@dataclass(frozen=True, slots=True)
class TimeCame:
    """It is the time that a timer trigger of the layout names, as the layout writes it."""

    at: float
    timespec: str


@dataclass(frozen=True, slots=True)
class LayoutReplaced:
    """A new layout, valid and ready, takes the place of the old one; ``oracle`` calls its functions.

    So do the options, if there are any. Answered by AnswerCommand with this ``ticket``.
    """

    at: float
    ticket: int
    layout: Layout
    oracle: Oracle
    options: SchedulerSettings | None = None


@dataclass(frozen=True, slots=True)
class Commanded:
    """An operator wants something; answered by AnswerCommand with this ``ticket``."""

    at: float
    ticket: int
    command: OperatorCommand


Input = (
    EventReceived
    | ChangeAnswered
    | ChangesFound
    | QueryFailed
    | MergeAnswered
    | BuildUpdated
    | BuildEnded
    | ReportAnswered
    | SubmitVerified
    | TimerFired
    | TimeCame
    | LayoutReplaced
    | Commanded
)
