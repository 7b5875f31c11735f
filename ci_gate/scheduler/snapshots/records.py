"""What is known of subjects (``scheduler/records.py``), with the order in which it would be asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ci_gate.model.change import Subject
from ci_gate.scheduler.records import Records
from ci_gate.scheduler.snapshots.subjects import SubjectsOut, decode_change_key, decode_key, encode_key
from ci_gate.scheduler.state import Item


def encode_records(records: Records, subjects: SubjectsOut, is_known: Callable[[Item], bool]) -> dict[str, Any]:
    """``is_known``: items that are part of the snapshot."""

    def numbers(items: Iterable[Item]) -> list[int]:
        return [each.number for each in items if is_known(each)]

    return {
        "by_key": [subjects.place(each) for each in records.by_key.values()],
        "users": [[encode_key(key), numbers(items)] for key, items in records.users.items()],
        "needers": [[encode_key(key), numbers(items)] for key, items in records.needers.items()],
        "patch_sets": [[encode_key(key) for key in keys] for keys in records.patch_sets.values()],
        "naming": [[name, [encode_key(key) for key in keys]] for name, keys in records.naming.items()],
        "told_by": [[*change, ticket] for change, ticket in records.told_by.items()],
        "needed_at_last_sweep": records.needed_at_last_sweep,
    }


def decode_records(data: dict[str, Any], subjects: list[Subject], items: Mapping[int, Item]) -> Records:
    records = Records(by_key={(subject := subjects[place]).key: subject for place in data["by_key"]})
    records.users = {decode_key(key): {items[each]: None for each in users} for key, users in data["users"]}
    records.needers = {decode_change_key(key): {items[each]: None for each in some} for key, some in data["needers"]}
    for keys in data["patch_sets"]:
        decoded = {decode_change_key(key): None for key in keys}
        first = next(iter(decoded))
        records.patch_sets[first.connection, first.number] = decoded
    records.naming = {name: {decode_change_key(key): None for key in keys} for name, keys in data["naming"]}
    records.told_by = {(connection, number): ticket for connection, number, ticket in data["told_by"]}
    records.needed_at_last_sweep = data["needed_at_last_sweep"]
    return records
