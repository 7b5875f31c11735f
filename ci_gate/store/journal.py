"""The record of every step, and snapshots of what it led to, in a database (SQLite, or one that SQLAlchemy can reach).

Everything here blocks: ``writer.py`` calls it from a thread of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    NullPool,
    create_engine,
    delete,
    event,
    func,
    insert,
    make_url,
    select,
)

from ci_gate.failpoints import failpoint
from ci_gate.model.history import PastBuildSet
from ci_gate.store import history
from ci_gate.store.last_step import LastStep
from ci_gate.store.migrate import NEWEST, bring_up_to_date, version_of
from ci_gate.store.tables import journal, layouts, progress, snapshots, waiting

FILE = "journal.sqlite"
RELEASED = "released"
BATCH = 500  # entries that are read at a time
BUSY_S = 10.0
KEPT_ANYHOW_S = 86_400.0  # a look for missed events asks the journal what was taken
SAMPLE = 200  # rows by which the size of all is guessed
NEVER = 2**62  # a step that is behind all others
IDLE_S = 3  # PostgreSQL ends a transaction that stands still for so long: it would keep the next leader out


class DeposedError(Exception):
    """Another service leads now: nothing of ours may be written any more."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One step. ``kind`` is the input's; ``input``, ``answers`` and ``effects`` are JSON. ``at``: the input's time."""

    seq: int
    at: float
    kind: str
    input: str
    answers: str
    effects: str


@dataclass(frozen=True, slots=True)
class SnapshotRow:
    """The memory after step ``seq``, as JSON, and the digest of the layout that was in force."""

    seq: int
    at: float
    layout: str
    body: str


def default_address(state_dir: Path) -> str:
    return f"sqlite:///{state_dir / FILE}"


class Journal:
    """One connection, which is made by ``open``. Every method raises what SQLAlchemy raises.

    ``epoch`` is that of the leader who writes; a service that nobody stands by for stays at 0.
    """

    def __init__(self, dburi: str, epoch: int = 0) -> None:
        self.epoch = epoch
        self._engine = engine_for(dburi)
        self._open: Connection | None = None
        file = file_of(dburi)
        self._last_step = LastStep(file) if file is not None else None

    def open(self) -> None:
        """Connect, and see to it that the tables are there. Raises SchemaError too."""
        self.close()
        self._open = self._engine.connect()
        with self._open.begin():
            bring_up_to_date(self._open)
            failpoint("migration.before-commit")
        failpoint("migration.after-commit")

    def is_of_this_version(self) -> bool:
        """Are the tables those that this program means? ``open`` makes them so."""
        if self._open is not None:
            return True
        with self._engine.connect() as opened:
            return version_of(opened) == NEWEST

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None
        if self._last_step is not None:
            self._last_step.close()

    @property
    def _connection(self) -> Connection:
        if self._open is None:
            self.open()
        assert self._open is not None  # noqa: S101  # what open does
        return self._open

    # --- steps ---

    def append(self, entries: Sequence[Entry], released: int) -> None:
        """Keep steps, all or none of them; they would survive a crash when this returns.

        Raises DeposedError if another epoch has begun. The row that tells is locked until the commit: who begins an
        epoch waits for a commit that is under way, and sees its steps; one that comes later fails.
        """
        rows = [
            {
                "seq": each.seq,
                "at": each.at,
                "kind": each.kind,
                "input": each.input,
                "answers": each.answers,
                "effects": each.effects,
            }
            for each in entries
        ]
        with self._connection.begin():
            self._note_released(released)
            if rows:
                self._connection.execute(insert(journal), rows)
            failpoint("journal.before-commit")
        failpoint("journal.after-commit")
        if rows and self._last_step is not None:
            self._last_step.note(entries[-1].seq)

    def _note_released(self, seq: int) -> None:
        ours = progress.update().where(progress.c.name == RELEASED, progress.c.epoch == self.epoch)
        if self._connection.execute(ours.values(seq=seq)).rowcount:
            return
        epoch = self._connection.scalar(select(progress.c.epoch).where(progress.c.name == RELEASED))
        if epoch is not None:
            raise DeposedError(f"the epoch is {epoch}, ours was {self.epoch}")
        self._connection.execute(insert(progress).values(name=RELEASED, seq=seq, epoch=self.epoch))

    def _note(self, name: str, seq: int) -> None:
        changed = self._connection.execute(progress.update().where(progress.c.name == name).values(seq=seq))
        if not changed.rowcount:
            self._connection.execute(insert(progress).values(name=name, seq=seq))

    def _noted(self, name: str) -> int:
        with self._connection.begin():
            return self._connection.scalar(select(progress.c.seq).where(progress.c.name == name)) or 0

    def released(self) -> int:
        """The last step whose effects are known to have been handed out."""
        return self._noted(RELEASED)

    def last_seq(self) -> int:
        """0 if nothing was ever kept."""
        with self._connection.begin():
            steps = self._connection.scalar(select(func.max(journal.c.seq))) or 0
            return max(steps, self._connection.scalar(select(func.max(snapshots.c.seq))) or 0)

    def lost(self) -> range:
        """The steps that were kept, and are not there any more: a disk has lost them, or an older file is back."""
        return range(self.last_seq() + 1, self.known_last() + 1)

    def known_last(self) -> int:
        """The last step that was ever kept; 0 if that is not known."""
        return self._last_step.read() if self._last_step is not None else 0

    def note_loss(self) -> None:
        """What is lost is known now, and told by no later start."""
        if self._last_step is not None:
            self._last_step.note(self.last_seq())

    def is_sound(self) -> bool:
        """Reads all of a SQLite database, and whether its parts fit each other; of others it is their own business."""
        if self._last_step is None:
            return True
        with self._connection.begin():
            return self._connection.exec_driver_sql("PRAGMA quick_check(1)").scalar() == "ok"

    def entries(self, after: int) -> Iterator[Entry]:
        """The steps after one, in order."""
        while True:
            wanted = select(journal).where(journal.c.seq > after).order_by(journal.c.seq).limit(BATCH)
            with self._connection.begin():
                found = [Entry(*row) for row in self._connection.execute(wanted)]
            yield from found
            if len(found) < BATCH:
                return
            after = found[-1].seq

    def inputs(self, kind: str, since: float) -> Iterator[str]:
        """The inputs of one kind from a time on, in order."""
        wanted = select(journal.c.seq, journal.c.input).where(journal.c.kind == kind, journal.c.at >= since)
        after = 0
        while True:
            page = wanted.where(journal.c.seq > after).order_by(journal.c.seq).limit(BATCH)
            with self._connection.begin():
                found = self._connection.execute(page).all()
            yield from (body for _, body in found)
            if len(found) < BATCH:
                return
            after = found[-1][0]

    def backwards(self, *, kind: str, effect: str) -> Iterator[Entry]:
        """The steps of a kind, and those whose effects contain a text; the newest first."""
        is_wanted = (journal.c.kind == kind) | journal.c.effects.contains(effect, autoescape=True)
        wanted, seq = select(journal).where(is_wanted).order_by(journal.c.seq.desc()).limit(BATCH), NEVER
        while True:
            page = wanted.where(journal.c.seq < seq)
            with self._connection.begin():
                found = [Entry(*row) for row in self._connection.execute(page)]
            yield from found
            if len(found) < BATCH:
                return
            seq = found[-1].seq

    def trim(self, before: float, most_bytes: int | None = None) -> int:
        """Forget steps that are older, except those that the last snapshot does not have; how many that were.

        Older ones than those of the last day go too if all that is kept is more than about ``most_bytes``.

        Layouts stay: they are few, and a step may name one from long ago.
        """
        with self._connection.begin():
            last = self._connection.scalar(select(func.max(snapshots.c.seq))) or 0
            old = delete(journal).where(journal.c.at < before, journal.c.seq <= last)
            gone = self._connection.execute(old).rowcount
            self._connection.execute(delete(snapshots).where(snapshots.c.at < before, snapshots.c.seq < last))
            if most_bytes is not None and (first := self._first_that_fits(most_bytes)) is not None:
                newest = self._connection.scalar(select(func.max(journal.c.at))) or 0.0
                yesterdays = journal.c.at < newest - KEPT_ANYHOW_S
                more = delete(journal).where(journal.c.seq < first, journal.c.seq <= last, yesterdays)
                gone += self._connection.execute(more).rowcount
                self._connection.execute(delete(snapshots).where(snapshots.c.seq < min(first, last)))
        return gone

    def _first_that_fits(self, most_bytes: int) -> int | None:
        """From which step on what is kept would be so large; None: all of it fits."""
        first, last = self._connection.execute(select(func.min(journal.c.seq), func.max(journal.c.seq))).one()
        if first is None:
            return None
        steps = (last - first + 1) * self._mean_size(
            journal.c.seq, journal.c.input, journal.c.answers, journal.c.effects
        )
        count = self._connection.scalar(select(func.count()).select_from(snapshots)) or 0
        size = steps + count * self._mean_size(snapshots.c.seq, snapshots.c.body)
        if size <= most_bytes:
            return None
        return int(last - (last - first + 1) * most_bytes / size) + 1

    def _mean_size(self, order: Column[int], *texts: Column[str]) -> float:
        """Of a row, by some of the oldest and of the newest: reading all would take a minute."""
        length = sum((func.length(each) for each in texts[1:]), func.length(texts[0]))
        sizes = [
            size
            for way in (order.asc(), order.desc())
            for size in self._connection.scalars(select(length).order_by(way).limit(SAMPLE))
        ]
        return sum(sizes) / len(sizes) if sizes else 0.0

    def forget_from(self, seq: int) -> None:
        """Forget a step, and all behind it."""
        with self._connection.begin():
            self._connection.execute(delete(journal).where(journal.c.seq >= seq))

    # --- build history ---

    def keep_history(self, past: Sequence[PastBuildSet], upto: int) -> None:
        """Write what steps up to ``upto`` tell; what is there already is written again to the same rows."""
        with self._connection.begin():
            history.write(self._connection, past)
            self._note(history.HISTORY, upto)

    def history_upto(self) -> int:
        """The last step of which all that it tells is in the history."""
        return self._noted(history.HISTORY)

    def trim_history(self, before: float) -> int:
        """Forget builds that ended before a time; how many that were."""
        with self._connection.begin():
            return history.trim(self._connection, before)

    def effects_with(self, name: str, after: int) -> Iterator[tuple[int, str]]:
        """The steps after one that had an effect of that name: their numbers, and all effects of each, as JSON."""
        named = journal.c.effects.contains(f'"{name}"', autoescape=True)
        while True:
            wanted = select(journal.c.seq, journal.c.effects).where(journal.c.seq > after, named)
            with self._connection.begin():
                found = self._connection.execute(wanted.order_by(journal.c.seq).limit(BATCH)).all()
            yield from ((seq, effects) for seq, effects in found)
            if len(found) < BATCH:
                return
            after = found[-1][0]

    # --- snapshots and layouts ---

    def keep_layout(self, digest: str, body: str) -> None:
        with self._connection.begin():
            if not self._connection.scalar(select(layouts.c.digest).where(layouts.c.digest == digest)):
                self._connection.execute(insert(layouts).values(digest=digest, body=body))

    def layout(self, digest: str) -> str | None:
        with self._connection.begin():
            return self._connection.scalar(select(layouts.c.body).where(layouts.c.digest == digest))

    def keep_snapshot(self, row: SnapshotRow) -> None:
        with self._connection.begin():
            self._connection.execute(delete(snapshots).where(snapshots.c.seq == row.seq))
            self._connection.execute(insert(snapshots).values(seq=row.seq, at=row.at, layout=row.layout, body=row.body))
            failpoint("snapshot.before-commit")
        failpoint("snapshot.after-commit")

    def forget_snapshot(self, seq: int) -> None:
        with self._connection.begin():
            self._connection.execute(delete(snapshots).where(snapshots.c.seq == seq))

    # --- events that wait for the next leader ---

    def keep_waiting(self, name: str, body: str) -> None:
        """In place of what was kept under that name before."""
        with self._connection.begin():
            self._connection.execute(delete(waiting).where(waiting.c.name == name))
            self._connection.execute(insert(waiting).values(name=name, body=body))

    def waiting(self, name: str) -> str | None:
        """What was kept under a name."""
        with self._connection.begin():
            return self._connection.scalar(select(waiting.c.body).where(waiting.c.name == name))

    def forget_waiting(self, name: str) -> None:
        with self._connection.begin():
            self._connection.execute(delete(waiting).where(waiting.c.name == name))

    # --- the last snapshot ---

    def last_snapshot(self) -> SnapshotRow | None:
        with self._connection.begin():
            found = self._connection.execute(select(snapshots).order_by(snapshots.c.seq.desc()).limit(1)).first()
        return SnapshotRow(*found) if found else None


def file_of(dburi: str) -> Path | None:
    """Of a SQLite database that is a file."""
    url = make_url(dburi)
    is_file = url.get_backend_name() == "sqlite" and url.database not in {None, "", ":memory:"}
    return Path(str(url.database)) if is_file else None


def engine_for(dburi: str) -> Engine:
    """An engine without a pool; SQLite set up so that what is committed survives."""
    url = make_url(dburi)
    arguments = {"timeout": BUSY_S} if url.get_backend_name() == "sqlite" else {}
    engine = create_engine(url, poolclass=NullPool, hide_parameters=True, connect_args=arguments)
    if url.get_backend_name() == "sqlite":
        event.listen(engine, "connect", _set_up_sqlite)
    elif url.get_backend_name() == "postgresql":
        event.listen(engine, "connect", _set_up_postgresql)
    return engine


def _set_up_sqlite(connection: object, _: object) -> None:
    """What is committed is on the disk, also when the power fails: the write-ahead log is synced at each commit."""
    cursor = connection.cursor()  # type: ignore[attr-defined]  # what a database driver connects with
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _set_up_postgresql(connection: object, _: object) -> None:
    """A leader that was stopped in the middle of a commit must not keep the next one waiting."""
    cursor = connection.cursor()  # type: ignore[attr-defined]  # as above
    cursor.execute(f"SET idle_in_transaction_session_timeout = {IDLE_S * 1000}")
    cursor.close()
    connection.commit()  # type: ignore[attr-defined]  # as above
