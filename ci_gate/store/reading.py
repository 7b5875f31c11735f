"""Reading a journal that a service may be writing: nothing is ever changed, and nobody is held up.

SQLite's write-ahead log and PostgreSQL let readers see what was committed before, so that no step is seen half.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlalchemy import Connection, Engine, NullPool, create_engine, func, make_url, select

from ci_gate.store.journal import BUSY_S, Journal, SnapshotRow
from ci_gate.store.migrate import NEWEST, SchemaError, version_of
from ci_gate.store.tables import journal, snapshots


class NoJournalError(Exception):
    """There is no journal at this address. The text is for the operator, and has no address in it."""


class JournalReader(Journal):
    """A journal that cannot be written. ``open`` raises NoJournalError and SchemaError."""

    def __init__(self, dburi: str) -> None:
        super().__init__(dburi)
        self._engine = reading_engine(dburi)

    def open(self) -> None:
        self.close()
        self._open = opened(self._engine)

    def snapshots(self) -> list[int]:
        """The steps after which there is a snapshot, and all steps since it; in order."""
        with self._connection.begin():
            first = self._connection.scalar(select(func.min(journal.c.seq)))
            wanted = select(snapshots.c.seq).order_by(snapshots.c.seq)
            known = list(self._connection.scalars(wanted))
        return [each for each in known if each == known[-1] or (first is not None and each >= first - 1)]

    def snapshot(self, seq: int) -> SnapshotRow | None:
        with self._connection.begin():
            found = self._connection.execute(select(snapshots).where(snapshots.c.seq == seq)).first()
        return SnapshotRow(*found) if found else None

    def first_seq_at(self, since: float) -> int | None:
        """The first step from a time on."""
        with self._connection.begin():
            found: int | None = self._connection.scalar(select(func.min(journal.c.seq)).where(journal.c.at >= since))
        return found


def opened(engine: Engine, *, least: str = "0001") -> Connection:
    """A connection to a journal of a version that can be read. Raises NoJournalError, SchemaError."""
    path = engine.url.database
    if engine.url.get_backend_name() == "sqlite" and not Path(path or "").is_file():
        raise NoJournalError("there is no journal yet: no service has run with this configuration")
    connection = engine.connect()
    try:
        with connection.begin():
            _check(version_of(connection), least)
    except BaseException:
        connection.close()
        raise
    return connection


def _check(version: str | None, least: str) -> None:
    if version is None:
        raise NoJournalError("the database has no journal: no service has run with this configuration")
    if version > NEWEST:
        raise SchemaError(f"the journal was written by a newer ci-gate (its tables have version {version})")
    if version < least:
        raise SchemaError("the journal's tables are those of an older ci-gate; start the service once to renew them")


def reading_engine(dburi: str) -> Engine:
    """An engine that can only read, without a pool."""
    url = make_url(dburi)
    if url.get_backend_name() == "sqlite":
        address = f"{Path(url.database or '').absolute().as_uri()}?mode=ro"
        return create_engine(
            url,
            poolclass=NullPool,
            creator=lambda: sqlite3.connect(address, uri=True, timeout=BUSY_S, check_same_thread=False),
        )
    engine = create_engine(url, poolclass=NullPool, hide_parameters=True)
    if url.get_backend_name() == "postgresql":
        return engine.execution_options(postgresql_readonly=True)
    return engine
