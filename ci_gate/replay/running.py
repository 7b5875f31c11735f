"""Recorded steps, decided once more in the order in which they were decided then.

The scheduler is a function of its inputs, so the same record gives the same decisions; only another version of this
program, or a defect, decides otherwise. Whatever was decided then counts: at each snapshot that the service kept the
replay goes on from there, as the service did, which also brings the settings of each start.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from ci_gate.daemon.recovery import (
    JournalDamagedError,
    LayoutReader,
    Recording,
    Replayed,
    Standing,
    replay,
    standing_of,
)
from ci_gate.scheduler.explain import Decision
from ci_gate.store.journal import SnapshotRow


class Source(Recording, Protocol):
    """A record with its snapshots: a journal that is only read, or a bundle."""

    def snapshots(self) -> list[int]:
        """The steps after which there is a snapshot, in order."""

    def snapshot(self, seq: int) -> SnapshotRow | None: ...

    def first_seq_at(self, since: float) -> int | None:
        """The first step from a time on."""

    def last_seq(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Span:
    """Times in seconds since the epoch, both included; None: from the beginning, to the end."""

    since: float | None = None
    until: float | None = None

    def has(self, at: float) -> bool:
        return (self.since is None or at >= self.since) and not self.is_before(at)

    def is_before(self, at: float) -> bool:
        return self.until is not None and at > self.until


@dataclass(frozen=True, slots=True)
class Decided:
    """A step, and what was decided in it."""

    step: Replayed
    decisions: tuple[Decision, ...]


@dataclass(frozen=True, slots=True)
class OtherMemory:
    """After step ``seq`` the service remembered something else than the replay does. It goes on from the former."""

    seq: int


class NothingRecordedError(Exception):
    """There is no snapshot to begin from. The text is for the operator."""


def run(
    source: Source, span: Span, read_layout: LayoutReader | None = None, *, whole: bool = False
) -> Iterator[Decided | OtherMemory]:
    """The steps of a span; the ``whole`` of it has those too that follow the snapshot before it.

    Raises NothingRecordedError, JournalDamagedError, and what SQLAlchemy raises.
    """
    starts, last = segments(source, span), source.last_seq()
    for start, end in zip(starts, [*starts[1:], None], strict=True):
        standing = standing_at(source, start, read_layout)
        for each in replay(source, standing, last if end is None else end, read_layout):
            if span.is_before(each.entry.at):
                return
            if whole or span.has(each.entry.at):
                yield Decided(each, standing.scheduler.last_decisions)
        if end is not None:
            _check_complete(standing, end)
            if remembers_otherwise(source, standing, end):
                yield OtherMemory(end)


def segments(source: Source, span: Span) -> list[int]:
    """The snapshots from the newest before the span on; from the oldest if there is none before it."""
    known = source.snapshots()
    if not known:
        raise NothingRecordedError("the record has no snapshot to begin from")
    first = source.first_seq_at(span.since) if span.since is not None else None
    if span.since is not None and first is None:
        return known[-1:]
    before = [each for each in known if first is not None and each < first]
    return known[len(before) - 1 :] if before else known


def standing_at(source: Source, seq: int, read_layout: LayoutReader | None = None) -> Standing:
    row = source.snapshot(seq)
    if row is None:
        raise NothingRecordedError(f"the snapshot after step {seq} was removed meanwhile; try again")
    return standing_of(source, row, read_layout)


def _check_complete(standing: Standing, end: int) -> None:
    if standing.seq != end:
        raise JournalDamagedError(f"the steps after {standing.seq} up to {end} are not there any more; try again")


def remembers_otherwise(source: Source, standing: Standing, seq: int) -> bool:
    """Did the service remember something else after a step than what is in ``standing``?"""
    row = source.snapshot(seq)
    if row is None:
        return False
    body: dict[str, object] = json.loads(row.body)
    return bool(body["scheduler"] != json.loads(json.dumps(standing.scheduler.snapshot())))
