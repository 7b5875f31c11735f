"""From the journal to where the service stood: the last snapshot, and the steps since, decided once more.

No effect of these steps leaves again but those that lack their outcome, and those that may never have left.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from ci_gate.config.layout.limits import as_recorded
from ci_gate.daemon.layouts import decode_layout, digest_of, encode_layout
from ci_gate.daemon.outstanding import Outstanding
from ci_gate.daemon.records import ReplayingOracle, decode_answers, decode_effects, decode_input
from ci_gate.model.layout import Layout
from ci_gate.model.options import SchedulerSettings
from ci_gate.scheduler.codec import decode, encode
from ci_gate.scheduler.effects import Effect, RecordRunTime
from ci_gate.scheduler.inputs import Input, LayoutReplaced
from ci_gate.scheduler.oracle import Oracle
from ci_gate.scheduler.scheduler import Scheduler
from ci_gate.scheduler.snapshots.decisions import decode_decisions, encode_decisions
from ci_gate.store.journal import Entry, Journal, SnapshotRow

log = structlog.stdlib.get_logger("zuul.Journal")


class JournalDamagedError(Exception):
    """What the journal says cannot be read. The text is for the operator, and says what to do.

    ``step``: the first that cannot; or, with ``of_snapshot``, that the last snapshot is of. None: the database itself.
    """

    def __init__(self, what: str, *, step: int | None = None, of_snapshot: bool = False) -> None:
        self.step, self.of_snapshot = step, of_snapshot
        super().__init__(
            f"{what}; ci-gate rescue keeps what can be read of it. To begin with empty queues instead move the journal "
            "out of the way, and keep it for a bug report"
        )


class Recording(Protocol):
    """A journal, or what was taken from one."""

    def entries(self, after: int) -> Iterator[Entry]:
        """The steps after one, in order."""

    def layout(self, digest: str) -> str | None: ...


LayoutReader = Callable[[Recording, str], Layout]
"""The layout of a record that has a digest. Raises LookupError, UnreadableLayoutError."""


@dataclass(slots=True)
class Standing:
    """Where the service stood after step ``seq``, with the layout of ``digest`` in force.

    ``outstanding`` are effects that lack their outcome; ``unsure`` those without one that may never have left.
    """

    seq: int
    digest: str
    layout: Layout
    scheduler: Scheduler
    options: SchedulerSettings
    event_delays: Mapping[str, float]
    outstanding: Outstanding
    unsure: list[Effect]

    def ask(self, oracle: Oracle) -> None:
        """Decide from now on by this one's answers, and by the present options."""
        self.scheduler.use(oracle, self.options, self.event_delays)

    @property
    def to_repeat(self) -> list[Effect]:
        return [*self.unsure, *self.outstanding]


@dataclass(frozen=True, slots=True)
class Replayed:
    """One recorded step, decided once more; ``effects`` are the recorded ones, ``decided`` those of now."""

    entry: Entry
    message: Input
    effects: list[Effect]
    decided: list[Effect]

    @property
    def as_recorded(self) -> bool:
        return self.decided == self.effects


def recover(journal: Journal) -> Standing | None:
    """None if nothing was ever kept. Blocks. Raises JournalDamagedError, and what SQLAlchemy raises."""
    standing = last_kept(journal)
    if standing is None:
        return None
    released, other = journal.released(), 0
    for step in replay(journal, standing):
        other += not step.as_recorded
        if step.entry.seq > released:
            standing.unsure += [each for each in step.effects if isinstance(each, RecordRunTime)]
    if other:
        log.warning("steps would be decided otherwise by this version; what was recorded counts", steps=other)
    return standing


def last_kept(journal: Journal) -> Standing | None:
    """As of the last snapshot. Blocks. Raises JournalDamagedError, and what SQLAlchemy raises."""
    row = journal.last_snapshot()
    return None if row is None else standing_of(journal, row)


def replay(
    journal: Recording, standing: Standing, until: int | None = None, read_layout: LayoutReader | None = None
) -> Iterator[Replayed]:
    """Bring a standing up to the end of the journal, or to step ``until``, step by step."""
    replaying = Replaying(journal, standing, read_layout)
    for entry in journal.entries(standing.seq):
        if until is not None and entry.seq > until:
            return
        yield replaying.step(entry)


class Replaying:
    """Brings a standing up by one step after the other, as they come."""

    def __init__(self, journal: Recording, standing: Standing, read_layout: LayoutReader | None = None) -> None:
        self._journal = journal
        self._standing = standing
        self._read_layout = read_layout or layout_of
        self._oracle = ReplayingOracle()
        standing.ask(self._oracle)

    def step(self, entry: Entry) -> Replayed:
        """Raises JournalDamagedError, also if it is not the next one."""
        standing = self._standing
        with _reading(f"step {standing.seq + 1}", standing.seq + 1):
            if entry.seq != standing.seq + 1:
                raise LookupError(f"the next one that is there is {entry.seq}")
            message = decode_input(
                entry.kind, entry.input, lambda digest: self._read_layout(self._journal, digest), self._oracle
            )
            self._oracle.use(decode_answers(entry.answers))
            recorded = decode_effects(entry.effects)
        with as_recorded(self._oracle.timed_out):
            decided = standing.scheduler.handle(message)
        standing.outstanding.step(message, recorded)
        standing.seq = entry.seq
        if isinstance(message, LayoutReplaced):
            standing.layout, standing.digest = message.layout, json.loads(entry.input)["layout"]
            standing.options = message.options or standing.options
        return Replayed(entry, message, recorded, decided)


def keep(journal: Journal, standing: Standing, at: float) -> None:
    """Write a snapshot. Blocks. Raises what SQLAlchemy raises."""
    text = encode_layout(standing.layout)
    journal.keep_layout(digest_of(text), text)
    body = {
        "scheduler": standing.scheduler.snapshot(),
        "outstanding": [encode(each, Effect) for each in standing.outstanding],
        "options": encode(standing.options, SchedulerSettings),
        "event_delays": dict(standing.event_delays),
        "decisions": encode_decisions(standing.scheduler.decisions),
    }
    journal.keep_snapshot(SnapshotRow(standing.seq, at, digest_of(text), json.dumps(body)))


def layout_of(journal: Recording, digest: str) -> Layout:
    """Raises LookupError, UnreadableLayoutError."""
    text = journal.layout(digest)
    if text is None:
        raise LookupError(f"the layout {digest} is not there")
    return decode_layout(text)


def standing_of(journal: Recording, row: SnapshotRow, read_layout: LayoutReader | None = None) -> Standing:
    """Where the service stood at a snapshot. Raises JournalDamagedError."""
    with _reading("the last snapshot", row.seq, of_snapshot=True):
        body: dict[str, Any] = json.loads(row.body)
        layout = (read_layout or layout_of)(journal, row.layout)
        options = decode(body["options"], SchedulerSettings)
        delays: dict[str, float] = body["event_delays"]
        scheduler = Scheduler.restore(
            layout, body["scheduler"], options=options, oracle=ReplayingOracle(), event_delays=delays
        )
        scheduler.decisions = decode_decisions(body["decisions"])
        outstanding = Outstanding(decode(each, Effect) for each in body["outstanding"])  # type: ignore[arg-type]  # union
    return Standing(row.seq, row.layout, layout, scheduler, options, delays, outstanding, [])


@contextmanager
def _reading(what: str, step: int, *, of_snapshot: bool = False) -> Iterator[None]:
    """Whatever goes wrong within is a damaged journal."""
    try:
        yield
    except Exception as problem:
        told = f"{what} cannot be read: {type(problem).__name__}: {problem}"
        raise JournalDamagedError(told, step=step, of_snapshot=of_snapshot) from problem
