"""From an event to the pipelines: refresh the change's record, keep the order, dispatch (scheduler.md 3).

Events of one connection are dispatched in order of arrival. One whose refresh takes over ``OVERTAKE_AFTER_S`` may
be overtaken, except by events of the same change. Connections never wait for each other.
"""

from __future__ import annotations

from collections import deque

from ci_gate.model.change import Change, ChangeDetails, ChangeKey, RefKey, RefUpdate, Subject
from ci_gate.model.commands import Enqueue
from ci_gate.model.event import Event
from ci_gate.model.measures import EventTaken
from ci_gate.model.search import Search, SearchKind
from ci_gate.scheduler import entering, leaving, refreshing, reporting
from ci_gate.scheduler.effects import SearchChanges, SetTimer
from ci_gate.scheduler.enqueuing import finish_enqueue
from ci_gate.scheduler.entering import Entry, Occasion
from ci_gate.scheduler.explain import Code
from ci_gate.scheduler.filters import PROJECT_MERGED, accept_event
from ci_gate.scheduler.freshness import CHANGE_DELETED
from ci_gate.scheduler.inputs import ChangeAnswered, ChangesFound, QueryFailed
from ci_gate.scheduler.records import ChangeId
from ci_gate.scheduler.state import State
from ci_gate.scheduler.step import Step
from ci_gate.scheduler.waiting import OPERATORS, Intake, Ticket, Waiting

OVERTAKE_AFTER_S = 5.0
RETRY_S = 10.0  # after a search that failed


def receive(step: Step, intake: Intake, event: Event, *, command: tuple[int, Enqueue] | None = None) -> None:
    """An event has arrived, or a command that needs a fresh record. What nobody can want is dropped at once."""
    if command is None:
        step.count(EventTaken(event.type))
    if not _may_matter(step.state, event):
        step.decide(_name(event), None, Code.UNKNOWN_PROJECT, project=event.project)
        return
    if event.caught_up:
        step.decide(_name(event), None, Code.CAUGHT_UP, type=event.type)
    intake.arrived += 1
    waiting = Waiting(event, step.at, intake.arrived, ready=not event.names_change, command=command)
    intake.lanes.setdefault(waiting.lane, deque()).append(waiting)
    change = waiting.change
    if change is not None:
        intake.by_change.setdefault(change, []).append(waiting)
        if change not in intake.refreshes:
            refreshing.ask(step, intake, change)
    dispatch_ready(step, intake, waiting.lane)


def answered(step: Step, intake: Intake, message: ChangeAnswered | ChangesFound | QueryFailed) -> None:
    """Gerrit told what it knows, or nothing: release the events that can go on."""
    ticket = intake.tickets.get(message.ticket)
    if ticket is not None and ticket.gathering is None and isinstance(ticket.question, Search):
        del intake.tickets[message.ticket]
        if not isinstance(message, ChangeAnswered):
            _tell_open_changes(step, intake, ticket, message)
        return
    change = refreshing.take_answer(step, intake, message)
    if change is not None:
        dispatch_ready(step, intake, OPERATORS)
        dispatch_ready(step, intake, change[0])
        refreshing.ask_again_later(step, intake, change)


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
    lane = waiting.lane
    if lane not in intake.overtaking_timers:
        intake.overtaking_timers.add(lane)
        step.emit(SetTimer(f"overtake:{lane}", waiting.arrived_at + OVERTAKE_AFTER_S))


def _release(step: Step, intake: Intake, waiting: Waiting) -> None:
    change = waiting.change
    if change is not None:
        others = intake.by_change[change]
        others.remove(waiting)
        if not others:
            del intake.by_change[change]
    if waiting.command is not None:
        finish_enqueue(step, waiting)
    elif waiting.refusal is not None and waiting.details is None:
        step.decide(_name(waiting.event), None, Code.QUERY_REFUSED, reason=waiting.refusal)
    elif waiting.cycle:
        step.decide(_name(waiting.event), None, Code.CYCLE, changes=tuple(each.number for each in waiting.cycle))
        _tell_of_cycle(step, waiting)
    else:
        _dispatch(step, waiting.event, waiting.details)


def _tell_of_cycle(step: Step, waiting: Waiting) -> None:
    change = _subject(step.state, waiting.event, waiting.details)
    if isinstance(change, Change) and change.is_current and change.project in step.state.layout.projects:
        reporting.report_cycle(step, change, waiting.cycle)


def _dispatch(step: Step, event: Event, details: ChangeDetails | None) -> None:
    """Offer the event to each pipeline in layout order (scheduler.md 3.4)."""
    if event.type == CHANGE_DELETED:
        leaving.drop_deleted(step, event)
    subject = _subject(step.state, event, details)
    if subject is None:
        step.decide(_name(event), None, Code.NO_SUCH_CHANGE)
        return
    _offer(step, event, subject)


def _offer(step: Step, event: Event, subject: Subject) -> None:
    options = step.state.options
    if subject.key not in step.state.records.by_key:
        step.state.records.remember(subject)  # of refs: what is inside already keeps the old revision that it had
    for pipeline in step.state.pipelines.values():
        if pipeline.pipeline.source != event.connection or subject.project not in step.state.layout.projects:
            continue
        if isinstance(subject, Change):
            leaving.drop_outdated(step, pipeline, event, subject)
        verdict = accept_event(
            pipeline.pipeline,
            event,
            subject,
            step.at,
            reject_requires_votes=options.reject_requires_votes,
        )
        step.decide_verdict(_name(event), pipeline.name, verdict)
        if verdict.passed:
            occasion = Occasion(event.comment, only_failed=verdict.code is Code.ACCEPTED_FOR_FAILED)
            entering.enter(step, Entry(pipeline, subject.key, occasion=occasion))


def ask_for_open_changes(step: Step, intake: Intake) -> None:
    """A change was merged: which others of its project are open? (scheduler.md 15)"""
    for connection, project in step.merged_projects:
        search = Search(SearchKind.OPEN_IN_PROJECT, project)
        ticket = intake.issue(Ticket((connection, ""), search))
        step.emit(SearchChanges(ticket, connection, search, step.state.asks_readiness(connection)))


def _tell_open_changes(step: Step, intake: Intake, ticket: Ticket, message: ChangesFound | QueryFailed) -> None:
    """One event each; what is not known yet is refreshed on the way, like for any other event."""
    connection, project = ticket.change[0], ticket.question.value if isinstance(ticket.question, Search) else ""
    if isinstance(message, QueryFailed):
        if message.transient:
            step.emit(SetTimer(f"merged:{connection}:{project}", step.at + RETRY_S))
        return
    for details in message.found:
        event = Event(PROJECT_MERGED, connection, project, details.branch, details.number, details.current_patchset)
        if step.state.records.change(ChangeKey(connection, details.number, details.current_patchset or "")):
            step.internal.append(event)
        else:
            receive(step, intake, event)


def dispatch_internal(step: Step, event: Event) -> None:
    """An event of the service itself: its change's record is known (scheduler.md 15)."""
    record = step.state.records.change(ChangeKey(event.connection, event.number or "", event.patchset or ""))
    if record is not None:
        step.count(EventTaken(event.type))
        _offer(step, event, record)


def _subject(state: State, event: Event, details: ChangeDetails | None) -> Subject | None:
    if event.names_change:
        if details is None:
            return None
        patchset = event.patchset or details.current_patchset
        return state.records.change(ChangeKey(event.connection, details.number, patchset or ""))
    if event.ref is None or event.project is None or event.newrev is None:
        return None
    return RefUpdate(
        RefKey(event.connection, event.project, event.ref, event.newrev), event.oldrev or "", event.ref_url
    )


def _may_matter(state: State, event: Event) -> bool:
    """An event on a project that is not in the layout matters only to changes of ours that are related to that one."""
    if event.project in state.layout.projects:
        return True
    if event.number is None:
        return False
    return event.change_id in state.records.naming or any(state.records.of_change(event.connection, event.number))


def _name(event: Event) -> str:
    if event.number is not None:
        return str(ChangeKey(event.connection, event.number, event.patchset)) if event.patchset else event.number
    return f"{event.project} {event.ref}"
