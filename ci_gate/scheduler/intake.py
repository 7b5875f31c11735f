"""From an event to the pipelines: refresh the change's record, keep the order, dispatch (scheduler.md 3).

Events of one connection are dispatched in order of arrival. One whose refresh takes over ``OVERTAKE_AFTER_S`` may
be overtaken, except by events of the same change. Connections never wait for each other.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from ci_gate.model.change import Change, ChangeDetails, ChangeKey, RefKey, RefUpdate, Subject
from ci_gate.model.event import Event
from ci_gate.scheduler import entering
from ci_gate.scheduler.backoff import backoff
from ci_gate.scheduler.effects import QueryChange, SetTimer
from ci_gate.scheduler.explain import Code
from ci_gate.scheduler.filters import accept_event
from ci_gate.scheduler.freshness import shows
from ci_gate.scheduler.inputs import ChangeAnswered, QueryFailed
from ci_gate.scheduler.state import State
from ci_gate.scheduler.step import Step

OVERTAKE_AFTER_S = 5.0
FIRST_REPEAT_S = 0.1  # an index that lags is usually there within one or two tenths of a second
LONGEST_REPEAT_S = 2.0
FIRST_RETRY_S = 1.0  # after a failed query
LONGEST_RETRY_S = 60.0
DEFAULT_EVENT_DELAY_S = 10.0

ChangeId = tuple[str, str]


@dataclass(slots=True, eq=False)
class Waiting:
    """An event in the intake. ``ready`` once its change's record is fresh; ``details`` None: no such change.

    ``refusal`` is Gerrit's reason for not telling.
    """

    event: Event
    arrived_at: float
    order: int
    ready: bool = False
    refusal: str | None = None
    details: ChangeDetails | None = None

    @property
    def change(self) -> ChangeId | None:
        return (self.event.connection, self.event.number) if self.event.number is not None else None


@dataclass(slots=True, eq=False)
class Refresh:
    """The one outstanding look at a change: a query under way (``ticket``), or a timer until the next.

    ``asked_after`` is the order of the last event that had arrived when the query was sent: its answer is of use
    for events up to that one.
    """

    ticket: int | None
    asked_after: int
    repeats: int = 0
    failures: int = 0


@dataclass(slots=True)
class Intake:
    """Events that wait for their change's record, by connection and by change.

    ``overtaking_timers`` are the connections for which such a timer is set, one at a time.
    """

    lanes: dict[str, deque[Waiting]] = field(default_factory=dict)
    by_change: dict[ChangeId, list[Waiting]] = field(default_factory=dict)
    refreshes: dict[ChangeId, Refresh] = field(default_factory=dict)
    tickets: dict[int, ChangeId] = field(default_factory=dict)
    overtaking_timers: set[str] = field(default_factory=set)
    arrived: int = 0
    tickets_issued: int = 0

    @property
    def length(self) -> int:
        return sum(len(lane) for lane in self.lanes.values())


def receive(step: Step, intake: Intake, event: Event) -> None:
    """An event has arrived. One that no pipeline can want is dropped at once, with its reason."""
    if not _may_matter(step.state, event):
        step.decide(_name(event), None, Code.UNKNOWN_PROJECT, project=event.project)
        return
    intake.arrived += 1
    waiting = Waiting(event, step.at, intake.arrived, ready=not event.names_change)
    intake.lanes.setdefault(event.connection, deque()).append(waiting)
    change = waiting.change
    if change is not None:
        intake.by_change.setdefault(change, []).append(waiting)
        if change not in intake.refreshes:
            _ask(step, intake, change)
    dispatch_ready(step, intake, event.connection)


def answered(step: Step, intake: Intake, message: ChangeAnswered) -> None:
    """Gerrit told what it knows of a change: refresh its records, release the events that it answers."""
    change = intake.tickets.pop(message.ticket, None)
    if change is None:
        step.decide(message.ticket, None, Code.UNKNOWN_ANSWER, what="a query of a change")
        return
    refresh = intake.refreshes[change]
    refresh.ticket, refresh.failures = None, 0
    if message.details is not None:
        entering.refresh_records(step, message.details)
    for waiting in intake.by_change[change]:
        if waiting.ready:  # held up by an earlier event: it goes with what is known then
            waiting.details = message.details or waiting.details
        elif waiting.order <= refresh.asked_after:
            _judge(step, waiting, message.details)
    _go_on(step, intake, change, refresh)


def _judge(step: Step, waiting: Waiting, details: ChangeDetails | None) -> None:
    """Is the answer good enough for this event, or has it waited for long enough?"""
    fresh = details is not None and shows(details, waiting.event)
    if fresh or step.at >= waiting.arrived_at + _event_delay(step.state, waiting.event.connection):
        waiting.ready, waiting.details = True, details


def query_failed(step: Step, intake: Intake, message: QueryFailed) -> None:
    """No answer. A failure that may pass is tried again for as long as it takes: no event is lost to it."""
    change = intake.tickets.pop(message.ticket, None)
    if change is None:
        step.decide(message.ticket, None, Code.UNKNOWN_ANSWER, what="a query of a change")
        return
    refresh = intake.refreshes[change]
    refresh.ticket = None
    if message.transient:
        refresh.failures += 1
        delay = backoff(FIRST_RETRY_S, LONGEST_RETRY_S, refresh.failures)
        step.emit(SetTimer(_timer(change), step.at + delay))
        return
    for waiting in intake.by_change[change]:
        if not waiting.ready and waiting.order <= refresh.asked_after:
            waiting.ready, waiting.refusal = True, message.reason
    _go_on(step, intake, change, refresh)


def look_again(step: Step, intake: Intake, connection: str, number: str) -> None:
    """The timer of a refresh has fired."""
    change = (connection, number)
    refresh = intake.refreshes.get(change)
    if refresh is not None and refresh.ticket is None:
        _ask(step, intake, change)


def _go_on(step: Step, intake: Intake, change: ChangeId, refresh: Refresh) -> None:
    """Dispatch what is ready; if events of the change still wait, see to it that Gerrit is asked again."""
    dispatch_ready(step, intake, change[0])
    waiting = [each for each in intake.by_change.get(change, ()) if not each.ready]
    if not waiting:
        intake.refreshes.pop(change, None)
    elif any(each.order > refresh.asked_after for each in waiting):
        _ask(step, intake, change)
    else:
        deadline = min(each.arrived_at for each in waiting) + _event_delay(step.state, change[0])
        refresh.repeats += 1
        delay = backoff(FIRST_REPEAT_S, LONGEST_REPEAT_S, refresh.repeats)
        step.emit(SetTimer(_timer(change), min(step.at + delay, max(deadline, step.at))))


def _ask(step: Step, intake: Intake, change: ChangeId) -> None:
    intake.tickets_issued += 1
    ticket = intake.tickets_issued
    refresh = intake.refreshes.setdefault(change, Refresh(None, 0))
    refresh.ticket, refresh.asked_after = ticket, intake.arrived
    intake.tickets[ticket] = change
    step.emit(QueryChange(ticket, *change))


def dispatch_ready(step: Step, intake: Intake, connection: str) -> None:
    """Dispatch the events of a connection that are ready and that nothing before them holds up."""
    lane = intake.lanes.get(connection)
    while lane and lane[0].ready:
        _release(step, intake, lane.popleft())
    if lane and _is_late(step, lane[0]):
        _overtake(step, intake, lane)
    elif lane:
        _set_overtaking_timer(step, intake, lane[0])


def overtake(step: Step, intake: Intake, connection: str) -> None:
    """The timer after which a late event may be overtaken has fired."""
    intake.overtaking_timers.discard(connection)
    dispatch_ready(step, intake, connection)


def _overtake(step: Step, intake: Intake, lane: deque[Waiting]) -> None:
    """The first event is late: let ready ones pass, up to the first one that is not late itself."""
    kept: deque[Waiting] = deque()
    held_up: set[ChangeId | None] = set()
    while lane:
        waiting = lane.popleft()
        if waiting.ready and waiting.change not in held_up:
            _release(step, intake, waiting)
            continue
        kept.append(waiting)
        held_up.add(waiting.change)
        if not waiting.ready and not _is_late(step, waiting):
            _set_overtaking_timer(step, intake, waiting)
            break
    lane.extendleft(reversed(kept))


def _is_late(step: Step, waiting: Waiting) -> bool:
    return step.at >= waiting.arrived_at + OVERTAKE_AFTER_S


def _set_overtaking_timer(step: Step, intake: Intake, waiting: Waiting) -> None:
    """One that is set already fires earlier, since it was set for an earlier event."""
    connection = waiting.event.connection
    if connection not in intake.overtaking_timers:
        intake.overtaking_timers.add(connection)
        step.emit(SetTimer(f"overtake:{connection}", waiting.arrived_at + OVERTAKE_AFTER_S))


def _release(step: Step, intake: Intake, waiting: Waiting) -> None:
    change = waiting.change
    if change is not None:
        others = intake.by_change[change]
        others.remove(waiting)
        if not others:
            del intake.by_change[change]
    if waiting.refusal is not None and waiting.details is None:
        step.decide(_name(waiting.event), None, Code.QUERY_REFUSED, reason=waiting.refusal)
    else:
        _dispatch(step, waiting.event, waiting.details)


def _dispatch(step: Step, event: Event, details: ChangeDetails | None) -> None:
    """Offer the event to each pipeline in layout order (scheduler.md 3.4)."""
    subject = _subject(event, details)
    if subject is None:
        step.decide(_name(event), None, Code.NO_SUCH_CHANGE)
        return
    options = step.state.options
    for pipeline in step.state.pipelines.values():
        if pipeline.pipeline.source != event.connection or subject.project not in step.state.layout.projects:
            continue
        if isinstance(subject, Change):
            entering.drop_outdated(step, pipeline, event, subject)
        verdict = accept_event(
            pipeline.pipeline,
            event,
            subject,
            step.at,
            reject_requires_votes=options.reject_requires_votes,
        )
        step.decide_verdict(_name(event), pipeline.name, verdict)
        if verdict.passed:
            entering.enter(step, pipeline, subject)


def _subject(event: Event, details: ChangeDetails | None) -> Subject | None:
    if event.names_change:
        if details is None:
            return None
        patchset = event.patchset or details.current_patchset
        return Change.of(details, patchset) if patchset is not None else None
    if event.ref is None or event.project is None or event.newrev is None:
        return None
    return RefUpdate(
        RefKey(event.connection, event.project, event.ref, event.newrev), event.oldrev or "", event.ref_url
    )


def _may_matter(state: State, event: Event) -> bool:
    """An event on a project that is not in the layout matters only if an item refers to that change."""
    if event.project in state.layout.projects:
        return True
    return event.number is not None and (event.connection, event.number) in state.changes_in_use


def _event_delay(state: State, connection: str) -> float:
    return state.event_delays.get(connection, DEFAULT_EVENT_DELAY_S)


def _timer(change: ChangeId) -> str:
    return f"refresh:{change[0]}:{change[1]}"


def _name(event: Event) -> str:
    if event.number is not None:
        return str(ChangeKey(event.connection, event.number, event.patchset)) if event.patchset else event.number
    return f"{event.project} {event.ref}"
