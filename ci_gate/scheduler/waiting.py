"""Events that wait for their change's record: part of the scheduler's memory. The rules are in ``intake.py``."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from ci_gate.model.change import ChangeDetails, ChangeKey
from ci_gate.model.commands import Enqueue
from ci_gate.model.event import Event
from ci_gate.scheduler.gathering import Gathering, Question
from ci_gate.scheduler.records import ChangeId

OPERATORS = " operators"  # no connection can have this name


@dataclass(slots=True, eq=False)
class Waiting:
    """An event in the intake. ``ready`` once its change's record is fresh; ``details`` None: no such change.

    ``refusal`` is Gerrit's reason for not telling; ``cycle`` are the changes that need each other in a circle.
    ``command``: it is no event, but an operator's command with its ticket.
    """

    event: Event
    arrived_at: float
    order: int
    ready: bool = False
    refusal: str | None = None
    details: ChangeDetails | None = None
    cycle: tuple[ChangeKey, ...] = ()
    command: tuple[int, Enqueue] | None = None

    @property
    def lane(self) -> str:
        """What operators want waits for no event."""
        return OPERATORS if self.command else self.event.connection

    @property
    def change(self) -> ChangeId | None:
        return (self.event.connection, self.event.number) if self.event.number is not None else None


@dataclass(slots=True, eq=False)
class Refresh:
    """The one look at a change that goes on: a query under way (``ticket``), a gathering, or a timer until the next.

    ``asked_after`` is the order of the last event that had arrived when the query was sent: its answer is of use
    for events up to that one. ``served`` are the events that the gathering is for.
    """

    ticket: int | None
    asked_after: int
    repeats: int = 0
    failures: int = 0
    gathering: Gathering | None = None
    served: list[Waiting] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Ticket:
    """A question under way: about the change itself, or one of a gathering."""

    change: ChangeId
    question: Question | None = None
    gathering: Gathering | None = None


@dataclass(slots=True)
class Intake:
    """Events that wait, by connection and by change; what each ticket asks.

    ``overtaking_timers`` are the connections for which such a timer is set, one at a time.
    """

    lanes: dict[str, deque[Waiting]] = field(default_factory=dict)
    by_change: dict[ChangeId, list[Waiting]] = field(default_factory=dict)
    refreshes: dict[ChangeId, Refresh] = field(default_factory=dict)
    tickets: dict[int, Ticket] = field(default_factory=dict)
    overtaking_timers: set[str] = field(default_factory=set)
    arrived: int = 0
    tickets_issued: int = 0

    @property
    def length(self) -> int:
        return sum(len(lane) for lane in self.lanes.values())

    def waited_for(self) -> Iterator[ChangeKey]:
        """Records that events and gatherings count on."""
        for refresh in self.refreshes.values():
            if refresh.gathering is not None:
                yield from refresh.gathering.relied_on
        for waiting in (each for lane in self.lanes.values() for each in lane):
            if waiting.details is not None:
                for patch_set in waiting.details.patch_sets:
                    yield ChangeKey(waiting.details.connection, waiting.details.number, patch_set.number)

    def issue(self, ticket: Ticket) -> int:
        self.tickets_issued += 1
        self.tickets[self.tickets_issued] = ticket
        return self.tickets_issued
