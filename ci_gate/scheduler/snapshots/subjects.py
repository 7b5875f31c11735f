"""Subjects and their keys. A subject that several refer to is written once, in a table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ci_gate.model.change import ChangeKey, PeriodicKey, RefKey, Subject, SubjectKey
from ci_gate.scheduler.codec import decode, encode

KINDS = {"change": ChangeKey, "ref": RefKey, "periodic": PeriodicKey}


def encode_key(key: SubjectKey) -> list[str]:
    """``["change", connection, number, patch set]`` and the like."""
    match key:
        case ChangeKey():
            return ["change", key.connection, key.number, key.patchset]
        case RefKey():
            return ["ref", key.connection, key.project, key.ref, key.newrev]
        case PeriodicKey():
            return ["periodic", key.connection, key.project]


def decode_key(data: list[str]) -> SubjectKey:
    kind, *parts = data
    key: SubjectKey = KINDS[kind](*parts)
    return key


def decode_change_key(data: list[str]) -> ChangeKey:
    """Raises ValueError for a key of something else."""
    match decode_key(data):
        case ChangeKey() as key:
            return key
        case _:
            raise ValueError(f"{data} is not the key of a change")


@dataclass(slots=True)
class SubjectsOut:
    """The table while it is written. Subjects are told apart by identity: the same one is the same place."""

    table: list[Any] = field(default_factory=list)
    _places: dict[int, int] = field(default_factory=dict)
    _kept: list[Subject] = field(default_factory=list)  # so that no identity is used twice meanwhile

    def place(self, subject: Subject) -> int:
        known = self._places.get(id(subject))
        if known is None:
            known = self._places[id(subject)] = len(self.table)
            self.table.append(encode(subject, Subject))
            self._kept.append(subject)
        return known


def decode_subjects(table: list[Any]) -> list[Subject]:
    return [decode(each, Subject) for each in table]  # type: ignore[arg-type]  # a union is no class to mypy
