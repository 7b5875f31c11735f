"""Bringing a change's record up to date, and those of the changes that it is related to (scheduler.md 3.2).

First the change itself, until Gerrit's answer shows what the event told (``freshness.py``); then whatever that leads
to (``gathering.py``). Only when all of it is there are the records replaced, together, and the events released.
"""

from __future__ import annotations

from dataclasses import replace

from ci_gate.model.change import Change, ChangeDetails, ChangeKey
from ci_gate.model.layout import DEPENDENT
from ci_gate.scheduler.backoff import backoff
from ci_gate.scheduler.effects import QueryChange, SearchChanges, SetTimer
from ci_gate.scheduler.explain import Code
from ci_gate.scheduler.filters import PARENT_ENQUEUED
from ci_gate.scheduler.freshness import shows
from ci_gate.scheduler.gathering import Gathering, Question, cycle_from
from ci_gate.scheduler.inputs import ChangeAnswered, ChangesFound, QueryFailed
from ci_gate.scheduler.records import ChangeId
from ci_gate.scheduler.state import State
from ci_gate.scheduler.step import Step
from ci_gate.scheduler.waiting import Intake, Refresh, Ticket, Waiting

FIRST_REPEAT_S = 0.1  # an index that lags is usually there within one or two tenths of a second
LONGEST_REPEAT_S = 2.0
FIRST_RETRY_S = 1.0  # after a failed query
LONGEST_RETRY_S = 60.0
DEFAULT_EVENT_DELAY_S = 10.0


def ask(step: Step, intake: Intake, change: ChangeId) -> None:
    """Ask for the change itself."""
    refresh = intake.refreshes.setdefault(change, Refresh(None, 0))
    refresh.ticket, refresh.asked_after = intake.issue(Ticket(change)), intake.arrived
    step.emit(QueryChange(refresh.ticket, *change, step.state.asks_readiness(change[0])))


def take_answer(step: Step, intake: Intake, message: ChangeAnswered | ChangesFound | QueryFailed) -> ChangeId | None:
    """The change whose events may go on now; None if nobody asked."""
    ticket = intake.tickets.pop(message.ticket, None)
    if ticket is None:
        step.decide(message.ticket, None, Code.UNKNOWN_ANSWER, what="a query of a change")
        return None
    change, question, gathering = ticket.change, ticket.question, ticket.gathering
    message = _as_asked(step, change[0], question if isinstance(question, str) else change[1], message)
    refresh = intake.refreshes.get(change)
    if refresh is None or refresh.gathering is not gathering:
        return None  # another answer has told the same before
    if question is not None and gathering is not None:
        gathering.sent.discard(question)
        _take_into_gathering(step, gathering, change, question, message)
        _go_on_gathering(step, intake, change, refresh)
    elif isinstance(message, ChangeAnswered):
        _take_root(step, intake, change, refresh, message)
    elif isinstance(message, QueryFailed):
        _root_failed(step, intake, change, refresh, message)
    return change


def _as_asked(
    step: Step, connection: str, number: str, message: ChangeAnswered | ChangesFound | QueryFailed
) -> ChangeAnswered | ChangesFound | QueryFailed:
    """An answer about another change is none about this one; found changes of another Gerrit are none of ours."""
    match message:
        case ChangeAnswered(details=ChangeDetails() as told) if (told.connection, told.number) != (connection, number):
            step.decide(number, None, Code.UNKNOWN_ANSWER, what=f"change {told.number} in place of {number}")
            return replace(message, details=None)
        case ChangesFound():
            return replace(message, found=tuple(each for each in message.found if each.connection == connection))
        case _:
            return message


def ask_again_later(step: Step, intake: Intake, change: ChangeId) -> None:
    """If events of the change still wait, see to it that Gerrit is asked again."""
    refresh = intake.refreshes[change]
    if refresh.gathering is not None or refresh.ticket is not None:
        return
    waiting = [each for each in intake.by_change.get(change, ()) if not each.ready]
    if not waiting:
        del intake.refreshes[change]
    elif any(each.order > refresh.asked_after for each in waiting):
        ask(step, intake, change)
    elif not refresh.failures:
        deadline = min(each.arrived_at for each in waiting) + _event_delay(step.state, change[0])
        refresh.repeats += 1
        delay = backoff(FIRST_REPEAT_S, LONGEST_REPEAT_S, refresh.repeats)
        step.emit(SetTimer(_timer(change), min(step.at + delay, max(deadline, step.at))))


def look_again(step: Step, intake: Intake, connection: str, number: str) -> None:
    """The timer of a refresh has fired."""
    change = (connection, number)
    refresh = intake.refreshes.get(change)
    if refresh is None:
        return
    if refresh.gathering is not None:
        refresh.gathering.failed.clear()
        _send_questions(step, intake, change, refresh.gathering)
    elif refresh.ticket is None:
        ask(step, intake, change)


# --- the change itself ---


def _take_root(step: Step, intake: Intake, change: ChangeId, refresh: Refresh, message: ChangeAnswered) -> None:
    details = message.details
    refresh.ticket, refresh.failures = None, 0
    served = [each for each in intake.by_change[change] if not each.ready and each.order <= refresh.asked_after]
    served = [each for each in served if _good_enough(step, each, details)]
    if details is None:
        for waiting in served:
            waiting.ready = True
        return
    held_up = [each for each in intake.by_change[change] if each.ready]  # by an earlier event: they go with the latest
    if not served and not held_up:
        return
    refresh.served = [*held_up, *served]
    state = step.state
    looks_behind, addresses = _looks_behind(state, change[0]), state.options.depends_on_urls
    refresh.gathering = Gathering(change[0], state.records, looks_behind, addresses)
    refresh.gathering.learn(details, message.ticket)
    _go_on_gathering(step, intake, change, refresh)


def _good_enough(step: Step, waiting: Waiting, details: ChangeDetails | None) -> bool:
    """Does the answer show what the event told, or has the event waited for long enough?"""
    if waiting.command is not None:
        return True  # the operator names what there is
    late_at = waiting.arrived_at + _event_delay(step.state, waiting.event.connection)
    return shows(details, waiting.event) or step.at >= late_at


def _root_failed(step: Step, intake: Intake, change: ChangeId, refresh: Refresh, message: QueryFailed) -> None:
    """A failure that may pass is tried again for as long as it takes: no event is lost to it."""
    refresh.ticket = None
    if message.transient:
        _retry_later(step, change, refresh)
        return
    for waiting in intake.by_change[change]:
        if not waiting.ready and waiting.order <= refresh.asked_after:
            waiting.ready, waiting.refusal = True, message.reason


def _retry_later(step: Step, change: ChangeId, refresh: Refresh) -> None:
    refresh.failures += 1
    step.emit(SetTimer(_timer(change), step.at + backoff(FIRST_RETRY_S, LONGEST_RETRY_S, refresh.failures)))


# --- what it leads to ---


def _take_into_gathering(
    step: Step,
    gathering: Gathering,
    change: ChangeId,
    question: Question,
    message: ChangeAnswered | ChangesFound | QueryFailed,
) -> None:
    match message:
        case ChangeAnswered(details=None):
            gathering.not_there(question)
        case ChangeAnswered(details=details) if details is not None:
            gathering.learn(details, message.ticket)
        case ChangesFound(found=found) if not isinstance(question, str):
            gathering.learn_found(question, found, message.ticket)
        case QueryFailed(transient=False, reason=reason):
            step.decide(change[1], None, Code.QUERY_REFUSED, reason=reason)
            gathering.not_there(question)
        case _:
            gathering.failed.add(question)


def _go_on_gathering(step: Step, intake: Intake, change: ChangeId, refresh: Refresh) -> None:
    gathering = refresh.gathering
    if gathering is None:
        return
    _send_questions(step, intake, change, gathering)
    if not gathering.unanswered:
        refresh.gathering, refresh.failures = None, 0
        _finish(step, change, refresh, gathering)
    elif not gathering.sent:  # all that is left has failed
        _retry_later(step, change, refresh)


def _send_questions(step: Step, intake: Intake, change: ChangeId, gathering: Gathering) -> None:
    readiness = step.state.asks_readiness(change[0])
    for question in gathering.to_send():
        ticket = intake.issue(Ticket(change, question, gathering))
        if isinstance(question, str):
            step.emit(QueryChange(ticket, change[0], question, readiness))
        else:
            step.emit(SearchChanges(ticket, change[0], question, readiness))


def _finish(step: Step, change: ChangeId, refresh: Refresh, gathering: Gathering) -> None:
    """Replace the records, all at once, by what is newer; release the events."""
    served, refresh.served = refresh.served, []
    details = gathering.details[change[1]]
    wanted = {ChangeKey(*change, each.event.patchset) for each in served if each.event.patchset}
    records = {each.key: each for each in gathering.changes(wanted)}
    current = ChangeKey(*change, details.current_patchset or "")
    cycle = cycle_from(current, lambda key: _needs(step.state, records, key))
    known = step.state.records
    news = {number: known.is_news((change[0], number), ticket) for number, ticket in gathering.told_by.items()}
    for record in records.values():
        if not news[record.number]:
            continue  # another gathering asked for it later, and was answered sooner
        if record.key in known.users and _would_close_a_cycle(step.state, records, record):
            continue  # what is inside goes on with the relations that it had
        if known.remember(record):
            touch(step, record.key)
    for waiting in served:
        waiting.ready, waiting.details, waiting.cycle = True, details, cycle


def _would_close_a_cycle(state: State, records: dict[ChangeKey, Change], record: Change) -> bool:
    """Whoever the refresh is for: others that it shows may need themselves, or each other."""
    known = state.records.change(record.key)
    if known is not None and known.needs == record.needs:
        return False
    return record.key in cycle_from(record.key, lambda key: _needs(state, records, key))


def _needs(state: State, records: dict[ChangeKey, Change], key: ChangeKey) -> tuple[ChangeKey, ...]:
    record = records.get(key) or state.records.change(key)
    return record.needs if record else ()


def touch(step: Step, key: ChangeKey) -> None:
    """The items about a change and those that need it have to be looked at."""
    for item in step.state.records.users.get(key, ()):
        step.touch(item)
    for item in step.state.records.needers_of(key):
        step.touch(item)


def _looks_behind(state: State, connection: str) -> bool:
    """Does some pipeline want to know which changes need one that moves, whether they are inside or not?"""
    return any(
        each.pipeline.source == connection
        and (
            each.pipeline.manager == DEPENDENT
            or any(PARENT_ENQUEUED in wanted.types for wanted in each.pipeline.triggers)
        )
        for each in state.pipelines.values()
    )


def _event_delay(state: State, connection: str) -> float:
    return state.event_delays.get(connection, DEFAULT_EVENT_DELAY_S)


def _timer(change: ChangeId) -> str:
    return f"refresh:{change[0]}:{change[1]}"
