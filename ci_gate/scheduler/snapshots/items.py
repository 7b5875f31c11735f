"""Pipelines, queues, items and build sets (``scheduler/state.py``).

Items are referred to by their number. Of a chain of changes only the last is written where the rest is that of the item
ahead, so that a queue of a thousand is written in a thousand lines and not in half a million.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ci_gate.model.change import Change, Subject
from ci_gate.model.layout import Layout, Pipeline
from ci_gate.model.merge import MergeAnswer
from ci_gate.scheduler.chains import EMPTY, Chain
from ci_gate.scheduler.codec import decode, encode
from ci_gate.scheduler.snapshots.subjects import SubjectsOut, decode_key, encode_key
from ci_gate.scheduler.state import Build, BuildSet, ChangeQueue, Described, Item, MergeState, PipelineState

Json = dict[str, Any]

PLAIN_OF_PIPELINE = ("queues_made", "consecutive_failures", "disabled")
PLAIN_OF_QUEUE = ("name", "order", "window", "active")
PLAIN_OF_ITEM = (
    *("number", "enqueued_at", "live", "place", "active", "passes", "holds", "reporting", "inside", "value"),
    *("only_failed", "undelivered"),
)
PLAIN_OF_BUILD_SET = (
    *("name", "merge_tries", "canceled_in_place", "launches", "reported_to_gerrit", "result"),
)


def plain(thing: object, names: Iterable[str]) -> Json:
    return {name: getattr(thing, name) for name in names}


def numbers(items: Iterable[Item]) -> list[int]:
    return [each.number for each in items]


# --- out ---


def encode_pipeline(state: PipelineState, subjects: SubjectsOut) -> Json:
    places = {queue: place for place, queue in enumerate(state.queues)}
    return {
        "name": state.name,
        "manager": state.pipeline.manager,
        "source": state.pipeline.source,
        **plain(state, PLAIN_OF_PIPELINE),
        "queues": [_encode_queue(each, subjects) for each in state.queues],
        "live": numbers(state.live.values()),
        "by_project": {name: places[queue] for name, queue in state.by_project.items()},
        "staying": {name: places[queue] for name, queue in state.staying.items()},
        "running_low": numbers(state.running_low),
        "waiting_low": numbers(state.waiting_low),
    }


def _encode_queue(queue: ChangeQueue, subjects: SubjectsOut) -> Json:
    return {
        **plain(queue, PLAIN_OF_QUEUE),
        "line": list(queue.line) if queue.line else None,
        "items": [_encode_item(each, subjects) for each in queue.items],
        "departing": [_encode_item(each, subjects) for each in queue.departing],
    }


def _encode_item(item: Item, subjects: SubjectsOut) -> Json:
    ahead = item.item_ahead
    return {
        **plain(item, PLAIN_OF_ITEM),
        "key": encode_key(item.subject_key),
        "item_ahead": ahead.number if ahead else None,
        "items_behind": numbers(item.items_behind),
        "open_reports": sorted(item.open_reports),
        "build_set": _encode_build_set(item.build_set, ahead, subjects),
        "former": encode(item.former, Described) if item.former else None,
    }


def _encode_build_set(build_set: BuildSet, ahead: Item | None, subjects: SubjectsOut) -> Json:
    return {
        **plain(build_set, PLAIN_OF_BUILD_SET),
        "chain": _encode_chain(build_set.chain, ahead, subjects),
        "merge_state": build_set.merge_state.value,
        "answer": encode(build_set.answer, MergeAnswer) if build_set.answer else None,
        "failing_reasons": list(build_set.failing_reasons),
        "builds": [encode(each, Build) for each in build_set.builds.values()],
    }


def _encode_chain(chain: Chain, ahead: Item | None, subjects: SubjectsOut) -> Json:
    below = ahead.build_set.chain.changes if ahead else ()
    if below and chain.changes[:-1] == below:
        return {"on_ahead": True, "changes": [subjects.place(chain.changes[-1])]}
    return {"on_ahead": False, "changes": [subjects.place(each) for each in chain.changes]}


# --- in ---


def decode_pipelines(data: list[Json], layout: Layout, subjects: list[Subject]) -> dict[str, PipelineState]:
    """In the order of the snapshot. What the layout does not have, or has with another manager, is a mere shell."""
    return {each["name"]: _decode_pipeline(each, index, layout, subjects) for index, each in enumerate(data)}


def _decode_pipeline(data: Json, index: int, layout: Layout, subjects: list[Subject]) -> PipelineState:
    known = layout.pipeline(data["name"])
    if known is None or known.manager != data["manager"]:
        known = Pipeline(data["name"], data["manager"], data["source"])
    state = PipelineState(known, index, **{name: data[name] for name in PLAIN_OF_PIPELINE})
    items: dict[int, Item] = {}
    for each in data["queues"]:
        _decode_queue(each, state, items, subjects)
    state.live = {items[each].subject_key: items[each] for each in data["live"]}
    state.by_project = {name: state.queues[place] for name, place in data["by_project"].items()}
    state.staying = {name: state.queues[place] for name, place in data["staying"].items()}
    state.by_line = {each.line: each for each in state.queues if each.line is not None}
    state.running_low = {items[each]: None for each in data["running_low"]}
    state.waiting_low = {items[each]: None for each in data["waiting_low"]}
    return state


def _decode_queue(data: Json, state: PipelineState, items: dict[int, Item], subjects: list[Subject]) -> None:
    queue = ChangeQueue(**{name: data[name] for name in PLAIN_OF_QUEUE})
    if data["line"] is not None:
        project, ref = data["line"]
        queue.line = (project, ref)
    state.queues.append(queue)
    for each in (*data["items"], *data["departing"]):
        items[each["number"]] = _decode_item(each, state, queue, items, subjects)
    for each in data["items"]:
        item = items[each["number"]]
        item.items_behind = {items[behind]: None for behind in each["items_behind"]}
        queue.items.append(item)
        queue.by_key[item.subject_key] = item
    queue.departing = {items[each["number"]]: None for each in data["departing"]}


def _decode_item(
    data: Json, state: PipelineState, queue: ChangeQueue, items: Mapping[int, Item], subjects: list[Subject]
) -> Item:
    """Those that it stands on are known already."""
    ahead = items[data["item_ahead"]] if data["item_ahead"] is not None else None
    return Item(
        **{name: data[name] for name in PLAIN_OF_ITEM},
        subject_key=decode_key(data["key"]),
        pipeline=state,
        queue=queue,
        item_ahead=ahead,
        open_reports=set(data["open_reports"]),
        build_set=_decode_build_set(data["build_set"], ahead, subjects),
        former=decode(former, Described) if (former := data.get("former")) else None,
    )


def _decode_build_set(data: Json, ahead: Item | None, subjects: list[Subject]) -> BuildSet:
    builds = [decode(each, Build) for each in data["builds"]]
    return BuildSet(
        **{name: data[name] for name in PLAIN_OF_BUILD_SET},
        chain=_decode_chain(data["chain"], ahead, subjects),
        merge_state=MergeState(data["merge_state"]),
        answer=decode(data["answer"], MergeAnswer) if data["answer"] is not None else None,
        failing_reasons=tuple(data["failing_reasons"]),
        builds={each.job: each for each in builds},
    )


def _decode_chain(data: Json, ahead: Item | None, subjects: list[Subject]) -> Chain:
    chain = ahead.build_set.chain if data["on_ahead"] and ahead else EMPTY
    for place in data["changes"]:
        match subjects[place]:
            case Change() as change:
                chain = chain.with_next(change)
            case other:
                raise ValueError(f"a chain has something that is no change: {other}")
    return chain
