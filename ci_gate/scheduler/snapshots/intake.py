"""Events that wait and the questions that are under way for them (``scheduler/waiting.py``, ``gathering.py``)."""

from __future__ import annotations

from collections import deque
from typing import Any

from ci_gate.model.change import ChangeDetails
from ci_gate.model.commands import Enqueue
from ci_gate.model.event import Event
from ci_gate.model.search import Search
from ci_gate.scheduler.codec import decode, encode
from ci_gate.scheduler.gathering import Gathering, Question
from ci_gate.scheduler.records import Records
from ci_gate.scheduler.snapshots.subjects import decode_change_key, encode_key
from ci_gate.scheduler.waiting import Intake, Refresh, Ticket, Waiting

Json = dict[str, Any]


# --- out ---


def encode_intake(intake: Intake) -> Json:
    known = [each.gathering for each in intake.refreshes.values()] + [
        each.gathering for each in intake.tickets.values()
    ]
    gatherings = list(dict.fromkeys(each for each in known if each is not None))
    places = {each: place for place, each in enumerate(gatherings)}
    waiting = {each.order: each for lane in intake.lanes.values() for each in lane}
    served = {each.order: each for refresh in intake.refreshes.values() for each in refresh.served}
    return {
        "waiting": [_encode_waiting(each) for each in waiting.values()],
        "released": [_encode_waiting(each) for order, each in served.items() if order not in waiting],
        "lanes": list(intake.lanes),
        "by_change": [[*change, [each.order for each in waiting]] for change, waiting in intake.by_change.items()],
        "gatherings": [_encode_gathering(each) for each in gatherings],
        "refreshes": [[*change, _encode_refresh(each, places)] for change, each in intake.refreshes.items()],
        "tickets": [[number, _encode_ticket(each, places)] for number, each in intake.tickets.items()],
        "overtaking_timers": sorted(intake.overtaking_timers),
        "arrived": intake.arrived,
        "tickets_issued": intake.tickets_issued,
    }


def _encode_waiting(waiting: Waiting) -> Json:
    return {
        "event": encode(waiting.event, Event),
        "arrived_at": waiting.arrived_at,
        "order": waiting.order,
        "ready": waiting.ready,
        "refusal": waiting.refusal,
        "details": encode(waiting.details, ChangeDetails) if waiting.details else None,
        "cycle": [encode_key(each) for each in waiting.cycle],
        "command": [waiting.command[0], encode(waiting.command[1], Enqueue)] if waiting.command else None,
    }


def _encode_question(question: Question) -> Any:
    return question if isinstance(question, str) else encode(question, Search)


def _encode_gathering(gathering: Gathering) -> Json:
    return {
        "connection": gathering.connection,
        "looks_behind": gathering.looks_behind,
        "addresses": gathering.addresses,
        "details": [encode(each, ChangeDetails) for each in gathering.details.values()],
        "told_by": gathering.told_by,
        "found": [[encode(search, Search), list(numbers)] for search, numbers in gathering.found.items()],
        "asked": _sorted(gathering.asked),
        "unanswered": [_encode_question(each) for each in gathering.unanswered],
        "sent": _sorted(gathering.sent),
        "failed": _sorted(gathering.failed),
        "relied_on": sorted(encode_key(each) for each in gathering.relied_on),
    }


def _sorted(questions: set[Question]) -> list[Any]:
    return [_encode_question(each) for each in sorted(questions, key=str)]


def _encode_refresh(refresh: Refresh, places: dict[Gathering, int]) -> Json:
    return {
        "ticket": refresh.ticket,
        "asked_after": refresh.asked_after,
        "repeats": refresh.repeats,
        "failures": refresh.failures,
        "gathering": places[refresh.gathering] if refresh.gathering else None,
        "served": [each.order for each in refresh.served],
    }


def _encode_ticket(ticket: Ticket, places: dict[Gathering, int]) -> Json:
    return {
        "change": list(ticket.change),
        "question": _encode_question(ticket.question) if ticket.question is not None else None,
        "gathering": places[ticket.gathering] if ticket.gathering else None,
    }


# --- in ---


def decode_intake(data: Json, records: Records) -> Intake:
    intake = Intake(arrived=data["arrived"], tickets_issued=data["tickets_issued"])
    intake.overtaking_timers = set(data["overtaking_timers"])
    intake.lanes = {lane: deque() for lane in data["lanes"]}
    by_order: dict[int, Waiting] = {}
    for each in map(_decode_waiting, data["waiting"]):
        by_order[each.order] = each
        intake.lanes[each.lane].append(each)
    by_order |= {each.order: each for each in map(_decode_waiting, data["released"])}
    intake.by_change = {
        (connection, number): [by_order[each] for each in orders] for connection, number, orders in data["by_change"]
    }
    gatherings = [_decode_gathering(each, records) for each in data["gatherings"]]
    intake.refreshes = {
        (connection, number): _decode_refresh(each, gatherings, by_order)
        for connection, number, each in data["refreshes"]
    }
    intake.tickets = {number: _decode_ticket(each, gatherings) for number, each in data["tickets"]}
    return intake


def _decode_waiting(data: Json) -> Waiting:
    command = (data["command"][0], decode(data["command"][1], Enqueue)) if data["command"] else None
    return Waiting(
        decode(data["event"], Event),
        data["arrived_at"],
        data["order"],
        ready=data["ready"],
        refusal=data["refusal"],
        details=decode(data["details"], ChangeDetails) if data["details"] else None,
        cycle=tuple(decode_change_key(each) for each in data["cycle"]),
        command=command,
    )


def _decode_question(data: Any) -> Question:
    return data if isinstance(data, str) else decode(data, Search)


def _decode_gathering(data: Json, records: Records) -> Gathering:
    details = [decode(each, ChangeDetails) for each in data["details"]]
    return Gathering(
        data["connection"],
        records,
        data["looks_behind"],
        data["addresses"],
        details={each.number: each for each in details},
        told_by=data["told_by"],
        found={decode(search, Search): tuple(numbers) for search, numbers in data["found"]},
        asked=set(map(_decode_question, data["asked"])),
        unanswered=dict.fromkeys(map(_decode_question, data["unanswered"])),
        sent=set(map(_decode_question, data["sent"])),
        failed=set(map(_decode_question, data["failed"])),
        relied_on={decode_change_key(each) for each in data["relied_on"]},
    )


def _decode_refresh(data: Json, gatherings: list[Gathering], by_order: dict[int, Waiting]) -> Refresh:
    return Refresh(
        data["ticket"],
        data["asked_after"],
        data["repeats"],
        data["failures"],
        gatherings[data["gathering"]] if data["gathering"] is not None else None,
        [by_order[each] for each in data["served"]],
    )


def _decode_ticket(data: Json, gatherings: list[Gathering]) -> Ticket:
    connection, number = data["change"]
    return Ticket(
        (connection, number),
        _decode_question(data["question"]) if data["question"] is not None else None,
        gatherings[data["gathering"]] if data["gathering"] is not None else None,
    )
