"""Reports that are on their way (``scheduler/outbound.py``)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from ci_gate.model.operations import UndeliveredReport
from ci_gate.model.report import Report
from ci_gate.scheduler.codec import decode, encode
from ci_gate.scheduler.outbound import MOST_GIVEN_UP, Outbound, Outgoing
from ci_gate.scheduler.snapshots.items import plain
from ci_gate.scheduler.snapshots.subjects import decode_key, encode_key
from ci_gate.scheduler.state import Item

Json = dict[str, Any]

PLAIN_OF_OUTGOING = (
    *("number", "pipeline", "is_start", "created_at", "tries", "refusals", "first_tried_at", "under_way"),
    *("next_try_at", "last_answer"),
)


def encode_outbound(outbound: Outbound, is_known: Callable[[Item], bool]) -> Json:
    """``is_known``: items that are part of the snapshot. Of one that has left only its report goes on."""
    return {
        "created": outbound.created,
        "outgoing": [_encode_outgoing(each, is_known) for each in outbound.by_number.values()],
        "lanes": [[*lane, [each.number for each in waiting]] for lane, waiting in outbound.lanes.items()],
        "given_up": [encode(each, UndeliveredReport) for each in outbound.given_up],
    }


def _encode_outgoing(outgoing: Outgoing, is_known: Callable[[Item], bool]) -> Json:
    item = outgoing.item
    return {
        **plain(outgoing, PLAIN_OF_OUTGOING),
        "lane": list(outgoing.lane),
        "report": encode(outgoing.report, Report),
        "subject": encode_key(outgoing.subject),
        "item": item.number if item is not None and is_known(item) else None,
    }


def decode_outbound(data: Json, items: Mapping[int, Item]) -> Outbound:
    outbound = Outbound(created=data["created"])
    outbound.by_number = {each["number"]: _decode_outgoing(each, items) for each in data["outgoing"]}
    outbound.lanes = {
        (connection, name): deque(outbound.by_number[each] for each in numbers)
        for connection, name, numbers in data["lanes"]
    }
    given_up = (decode(each, UndeliveredReport) for each in data["given_up"])
    outbound.given_up = deque(given_up, maxlen=MOST_GIVEN_UP)
    return outbound


def _decode_outgoing(data: Json, items: Mapping[int, Item]) -> Outgoing:
    connection, name = data["lane"]
    return Outgoing(
        **{each: data[each] for each in PLAIN_OF_OUTGOING},
        lane=(connection, name),
        report=decode(data["report"], Report),  # type: ignore[arg-type]  # a union is no class to mypy
        subject=decode_key(data["subject"]),
        item=items[data["item"]] if data["item"] is not None else None,
    )
