"""Whose is it? The item that a build, a report or a verification belongs to, for those who watch from outside."""

from __future__ import annotations

from dataclasses import dataclass

from ci_gate.model.change import SubjectKey
from ci_gate.model.item import ItemView
from ci_gate.scheduler.outbound import Outbound
from ci_gate.scheduler.state import Item, State
from ci_gate.scheduler.views import item_view


@dataclass(frozen=True, slots=True)
class Place:
    """``item`` numbers entries into pipelines, so that a recheck is another. ``result`` is the final report's, or None.

    ``enqueued_at`` is seconds since the epoch. ``is_start``: of a report that it is the start report.
    """

    item: int
    subject: SubjectKey
    pipeline: str
    enqueued_at: float
    view: ItemView
    result: str | None = None
    is_start: bool = False


def of_build(state: State, uuid: str) -> Place | None:
    """None: the build has ended, or is not wanted any more."""
    item, _ = state.builds_by_uuid.get(uuid, (None, None))
    return _place(state, item) if item is not None else None


def of_report(state: State, outbound: Outbound, number: int) -> Place | None:
    """None: no item is behind it, or it is not on its way any more."""
    outgoing = outbound.by_number.get(number)
    if outgoing is None or outgoing.item is None:
        return None
    return _place(state, outgoing.item, is_start=outgoing.is_start)


def of_verification(state: State, item: int) -> Place | None:
    found = state.verifying.get(item)
    return _place(state, found) if found is not None else None


def is_inside(state: State, pipeline: str, subject: SubjectKey) -> bool:
    """Is it in the pipeline, or has a report there that is not settled yet?"""
    found = state.pipelines.get(pipeline)
    if found is None:
        return False
    return any(each.subject_key == subject for queue in found.queues for each in (*queue.items, *queue.departing))


def _place(state: State, item: Item, *, is_start: bool = False) -> Place:
    return Place(
        item.number,
        item.subject_key,
        item.pipeline.name,
        item.enqueued_at,
        item_view(state, item),
        item.build_set.result,
        is_start,
    )
