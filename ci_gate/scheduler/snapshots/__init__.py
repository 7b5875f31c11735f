"""The scheduler's memory as JSON, and back (docs/architecture.md).

``restore`` of a snapshot followed by the same inputs has the same effects as if nothing had happened in between. What
refers to the layout is kept by name; the decisions of the past are not kept: they explain, and decide nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ci_gate.model.layout import Layout
from ci_gate.model.options import SchedulerSettings
from ci_gate.scheduler.codec import decode, encode
from ci_gate.scheduler.identifiers import Identifiers
from ci_gate.scheduler.outbound import Outbound
from ci_gate.scheduler.rerun import Reported
from ci_gate.scheduler.snapshots.intake import decode_intake, encode_intake
from ci_gate.scheduler.snapshots.items import decode_pipelines, encode_pipeline
from ci_gate.scheduler.snapshots.outbound import decode_outbound, encode_outbound
from ci_gate.scheduler.snapshots.records import decode_records, encode_records
from ci_gate.scheduler.snapshots.subjects import SubjectsOut, decode_change_key, decode_subjects, encode_key
from ci_gate.scheduler.state import Item, State
from ci_gate.scheduler.turns import Turns
from ci_gate.scheduler.waiting import Intake

VERSION = 1

Json = dict[str, Any]


class SnapshotError(Exception):
    """The snapshot is of a version that is not known here, or makes no sense. The text is for the operator."""


@dataclass(frozen=True, slots=True)
class Memory:
    """All that a scheduler remembers, apart from its decisions."""

    state: State
    intake: Intake
    outbound: Outbound


def take(memory: Memory) -> Json:
    """Plain JSON, equal for equal memories."""
    state, subjects = memory.state, SubjectsOut()
    known = {item.number for item in _items(state)}

    def is_known(item: Item) -> bool:
        return item.number in known

    body = {
        "pipelines": [encode_pipeline(each, subjects) for each in state.pipelines.values()],
        "records": encode_records(state.records, subjects, is_known),
        "intake": encode_intake(memory.intake),
        "outbound": encode_outbound(memory.outbound, is_known),
        "mutexes": [[name, item.number, job] for name, (item, job) in state.mutexes.items()],
        "mutex_waiters": [[name, [each.number for each in items]] for name, items in state.mutex_waiters.items()],
        "turns": encode(state.turns, Turns),
        "reported_before": [[*place, encode(each, Reported)] for place, each in state.reported_before.items()],
        "cycles_told": [encode_key(each) for each in state.cycles_told],
        "verifying": list(state.verifying),
        "items_entered": state.items_entered,
        "last_reconfigured": state.last_reconfigured,
        "identifiers": {"seed": state.identifiers.seed.hex(), "issued": state.identifiers.issued},
    }
    return {"version": VERSION, "subjects": subjects.table, **body}


def restore(data: Json, layout: Layout, options: SchedulerSettings, event_delays: Mapping[str, float]) -> Memory:
    """``layout`` is the one that was in force; if it is another, LayoutReplaced has to be the next input.

    Raises SnapshotError.
    """
    if data.get("version") != VERSION:
        raise SnapshotError(f"the snapshot is of version {data.get('version')!r}; this ci-gate reads version {VERSION}")
    try:
        return _restore(data, layout, options, event_delays)
    except (LookupError, TypeError, ValueError, ExceptionGroup) as problem:
        raise SnapshotError(f"the snapshot makes no sense: {type(problem).__name__}: {problem}") from problem


def _restore(data: Json, layout: Layout, options: SchedulerSettings, event_delays: Mapping[str, float]) -> Memory:
    identifiers = Identifiers(bytes.fromhex(data["identifiers"]["seed"]), data["identifiers"]["issued"])
    state = State(layout, options, identifiers, event_delays, last_reconfigured=data["last_reconfigured"])
    state.items_entered = data["items_entered"]
    subjects = decode_subjects(data["subjects"])
    state.pipelines = decode_pipelines(data["pipelines"], layout, subjects)
    items = {item.number: item for item in _items(state)}
    state.records = decode_records(data["records"], subjects, items)
    for item in items.values():
        _index_build_set(state, item)
    state.mutexes = {name: (items[number], job) for name, number, job in data["mutexes"]}
    state.mutex_waiters = {name: {items[each]: None for each in some} for name, some in data["mutex_waiters"]}
    state.turns = decode(data["turns"], Turns)
    before = (((pipeline, connection, number), each) for pipeline, connection, number, each in data["reported_before"])
    state.reported_before = OrderedDict((place, decode(each, Reported)) for place, each in before)
    state.cycles_told = {decode_change_key(each): None for each in data["cycles_told"]}
    state.verifying = {number: items[number] for number in data["verifying"]}
    return Memory(state, decode_intake(data["intake"], state.records), decode_outbound(data["outbound"], items))


def _items(state: State) -> list[Item]:
    queues = [queue for each in state.pipelines.values() for queue in each.queues]
    return [item for queue in queues for item in (*queue.items, *queue.departing)]


def _index_build_set(state: State, item: Item) -> None:
    """Answers find items that are inside, and builds that have no result yet."""
    if not item.inside:
        return
    if item.build_set.name is not None:
        state.items_by_build_set[item.build_set.name] = item
    for build in item.build_set.builds.values():
        if build.uuid is not None and build.result is None:
            state.builds_by_uuid[build.uuid] = (item, build)
