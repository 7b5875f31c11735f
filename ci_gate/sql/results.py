"""Writing reports into a results database: each in one transaction, and never twice (outputs.md 4). Blocks.

No connection is kept: each report brings its own, so a database that was away is there again with the next try.

**Repeats.** A try may have been carried out although nobody heard so: the connection broke at the commit, the time was
over, or the service died. So a repeat looks first whether its row is there. The tables have no column for the identity
of a report, and one row may rightly equal another (each tick of a timer may say the same), so that equality alone
proves nothing:

* A repeat knows the highest id that was there when the first try of this run of the service began to write: a row of
  its own has a higher one. Where no try came so far, none can have been carried out, and nothing is looked for.
* That is not known of tries before a restart. There the name of the build set's refs or the uuid of a build tells: no
  other report of these words has it. A report with neither (a start, an item without builds) has arrived if the newest
  row about its subject equals it: reports leave one at a time, so the one in doubt would be the last one written.
"""

from __future__ import annotations

import time
from dataclasses import replace

import structlog
from sqlalchemy import Connection, Engine, Select, func, insert, select, text
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError

from ci_gate.config.settings import SqlSettings
from ci_gate.model.operations import ConnectionHealth, ConnectionState
from ci_gate.model.report import Delivery, DeliveryOutcome, ResultRecord
from ci_gate.sql.address import ANSWER_S, BadAddressError, engine_for, without_secrets
from ci_gate.sql.rows import Rows, rows_of
from ci_gate.sql.schema import OtherSchemaError, builds, buildsets, prepare

LOOK_BACK = 10_000  # rows that others may have written while the service was restarted
BUILDS_OF_A_ROW = 20
SUBJECT = ("pipeline", "project", "change", "patchset", "ref")

log = structlog.stdlib.get_logger("zuul.reporter")


class ResultsWriter:
    """Used in one thread. ``made_at`` is when this run of the service began, in seconds since the epoch.

    ``write`` takes one report at a time: one is repeated until it is settled before the next one comes.
    """

    def __init__(self, settings: SqlSettings, health: ConnectionHealth, made_at: float) -> None:
        self.health = health
        self._settings = settings
        self._made_at = made_at
        self._engine: Engine | None = None
        self._is_prepared = False
        self._under_way: ResultRecord | None = None
        self._newest_before: int | None = None  # the highest id before the report under way was first written

    def look(self) -> DeliveryOutcome:
        """Is it there, with its tables?"""
        try:
            self._prepared_engine()
        except Exception as problem:  # noqa: BLE001  # whatever a driver does: it is told, and tried again
            return self._failure(problem).outcome
        return DeliveryOutcome.DELIVERED

    def write(self, record: ResultRecord, first_tried_at: float | None) -> Delivery:
        """Unreachable is whatever another try may find mended: no connection, no right to write, no space."""
        if first_tried_at is None or record != self._under_way:
            self._under_way, self._newest_before = record, None
        rows, plain = rows_of(record), rows_of(record, ascii_only=True)
        try:
            try:
                had_arrived = self._store(rows, first_tried_at)
            except (DataError, UnicodeError):
                if plain == rows:
                    raise
                had_arrived = self._store(plain, first_tried_at)  # an old database's encoding may lack characters
        except Exception as problem:  # noqa: BLE001  # as above
            return self._failure(problem)
        return Delivery(DeliveryOutcome.DELIVERED, "had arrived at an earlier try" if had_arrived else "")

    def _store(self, rows: Rows, first_tried_at: float | None) -> bool:
        """Or find that an earlier try has done it."""
        with self._prepared_engine().begin() as connection:
            _limit_time(connection)
            newest = connection.scalar(select(func.max(buildsets.c.id))) or 0
            if self._newest_before is not None:
                found = _equal_rows(rows, newer_than=self._newest_before)
            elif first_tried_at is not None and first_tried_at < self._made_at:
                found = _rows_from_before_a_restart(rows, newest)
            else:
                found = None
            if found is not None and connection.scalar(found.limit(1)) is not None:
                return True
            if self._newest_before is None:
                self._newest_before = newest
            (number,) = connection.execute(insert(buildsets).values(rows.buildset)).inserted_primary_key or (None,)
            if rows.builds:
                connection.execute(insert(builds), [{**each, "buildset_id": number} for each in rows.builds])
        return False

    def _prepared_engine(self) -> Engine:
        if self._engine is None:
            self._engine = engine_for(self._settings.dburi)
        if not self._is_prepared:
            with self._engine.begin() as connection:
                _limit_time(connection)
                was_empty = prepare(connection)
            self._is_prepared = True
            self.health = replace(self.health, state=ConnectionState.UP, since=time.time(), detail="")
            log.info("results database is there", connection=self._settings.name, tables_made=was_empty)
        return self._engine

    def _failure(self, problem: Exception) -> Delivery:
        reason = without_secrets(_words(problem), self._settings.dburi)
        match problem:
            case DataError() | IntegrityError() | UnicodeError():
                return Delivery(DeliveryOutcome.REFUSED, f"the database does not take the record: {reason}")
            case BadAddressError():
                state, outcome = ConnectionState.DOWN, DeliveryOutcome.REFUSED
            case SQLAlchemyError() | OtherSchemaError() | OSError():
                state, outcome = ConnectionState.CONNECTING, DeliveryOutcome.UNREACHABLE
            case _:
                state, outcome = ConnectionState.CONNECTING, DeliveryOutcome.TRANSIENT
        self._is_prepared = False  # what comes back may be another one
        if (state, reason) != (self.health.state, self.health.detail):
            log.warning("results database cannot be used", connection=self._settings.name, reason=reason)
            self.health = replace(self.health, state=state, since=time.time(), detail=reason)
        return Delivery(outcome, reason)


def _limit_time(connection: Connection) -> None:
    """Other drivers have limits of their own (``address.py``)."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SET LOCAL statement_timeout = {ANSWER_S * 1000}"))


def _equal_rows(rows: Rows, *, newer_than: int) -> Select[tuple[int]]:
    equal = [buildsets.c[name] == value for name, value in rows.buildset.items()]
    return select(buildsets.c.id).where(buildsets.c.id > newer_than, *equal)


def _rows_from_before_a_restart(rows: Rows, newest: int) -> Select[tuple[int]]:
    """Among the last ones only: Zuul's tables have no index for more."""
    found = _equal_rows(rows, newer_than=newest - LOOK_BACK)
    uuid = next((each["uuid"] for each in rows.builds if each["uuid"]), None)
    if uuid is not None:
        newest_build = select(func.max(builds.c.id)).scalar_subquery()
        return found.join(builds, builds.c.buildset_id == buildsets.c.id).where(
            builds.c.id > newest_build - LOOK_BACK * BUILDS_OF_A_ROW, builds.c.uuid == uuid
        )
    if rows.buildset["zuul_ref"] is not None:
        return found
    subject = [buildsets.c[name] == rows.buildset[name] for name in SUBJECT]
    about = select(func.max(buildsets.c.id)).where(buildsets.c.id > newest - LOOK_BACK, *subject)
    return found.where(buildsets.c.id == about.scalar_subquery())


def _words(problem: Exception) -> str:
    """What the driver says, without SQLAlchemy's additions."""
    said = problem.orig if isinstance(problem, DBAPIError) else problem
    return " ".join(str(said).split()) or type(problem).__name__
