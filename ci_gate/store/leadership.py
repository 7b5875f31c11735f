"""Who of the services on one PostgreSQL leads: an advisory lock, and one row that says so for everybody.

The lock lives as long as its connection and lets one at a time change the row. The row says who that is, by which
``epoch``, and is renewed all the time. Steps are written by epoch (``journal.py``), so that nobody writes beside the
leader; how long a leader may act without a renewal is the daemon's business. Everything here blocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sqlalchemy import Connection, NullPool, create_engine, func, insert, select, text

from ci_gate.store.journal import IDLE_S, RELEASED
from ci_gate.store.migrate import bring_up_to_date, version_of
from ci_gate.store.tables import leader, progress

FIRST_WITH_LEADERS = "0004"
NAME = "leader"
LOCK = 0x6C656164  # with a number made of the schema's name: each schema has a service of its own
SESSION = "ci-gate leader"  # how the connection is called in pg_stat_activity

LIMITS: Mapping[str, object] = MappingProxyType(
    {
        "connect_timeout": 2,
        "keepalives_idle": 2,
        "keepalives_interval": 1,
        "keepalives_count": 2,
        "tcp_user_timeout": 3000,
        "application_name": SESSION,
    }
)
SETTINGS = (
    "SET statement_timeout = 3000",
    "SET lock_timeout = 2000",
    # The server forgets a host that died as quickly as we would forget the server.
    "SET tcp_keepalives_idle = 2",
    "SET tcp_keepalives_interval = 1",
    "SET tcp_keepalives_count = 2",
)


@dataclass(frozen=True, slots=True)
class Leader:
    """What the row says. ``renewals`` counts; ``released``: the leader has stopped, cleanly.

    ``place`` is the same for all services that cannot run at the same time; ``holder`` says for people who it is;
    ``since`` is in seconds since the epoch; ``backend`` is the server's process that has the lock.
    """

    epoch: int
    renewals: int
    released: bool
    place: str
    holder: str
    since: float
    backend: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """Who wants to lead: ``place`` and ``holder`` as in ``Leader``."""

    place: str
    holder: str


class LeaderSession:
    """One connection, made when it is needed. Every method raises what SQLAlchemy raises; then ``close`` it."""

    def __init__(self, dburi: str) -> None:
        self.dburi = dburi
        self._engine = create_engine(dburi, poolclass=NullPool, hide_parameters=True, connect_args=dict(LIMITS))
        self._open: Connection | None = None
        self._has_lock = False

    def close(self) -> None:
        """The lock goes with it."""
        opened, self._open, self._has_lock = self._open, None, False
        if opened is not None:
            opened.close()

    @property
    def _connection(self) -> Connection:
        if self._open is None:
            opened = self._engine.connect()
            try:
                with opened.begin():
                    for each in SETTINGS:
                        opened.execute(text(each))
                    if (version_of(opened) or "") < FIRST_WITH_LEADERS:
                        bring_up_to_date(opened)
            except BaseException:
                opened.close()
                raise
            self._open = opened
        return self._open

    def look(self) -> Leader | None:
        """None if nobody ever led."""
        with self._connection.begin():
            return self._row()

    def last_seq(self) -> int:
        """Of the leader's journal, as far as its effects have been handed out."""
        with self._connection.begin():
            return self._connection.scalar(select(progress.c.seq).where(progress.c.name == RELEASED)) or 0

    def take(self, seen: Leader | None, candidate: Candidate, at: float) -> int | None:
        """Lead from now on, if the row is still as it was ``seen``: the new epoch. None: somebody was quicker.

        A leader whose connection lives on although it is silent loses that; try again then.
        """
        if not self._lock():
            if seen is not None:
                self._end(seen.backend)
            return None
        self._end_what_stands_still()
        taken = None
        with self._connection.begin():
            if self._row(for_update=True) == seen:
                taken = seen.epoch + 1 if seen else 1
                self._write(taken, candidate, at, is_new=seen is None)
        if taken is None:
            self._unlock()
        return taken

    def renew(self, epoch: int) -> bool:
        """Still here. False: another epoch has begun. A connection that was lost gets its lock again."""
        locked = self._lock()
        mine = leader.update().where(leader.c.name == NAME, leader.c.epoch == epoch)
        values = {"renewals": leader.c.renewals + 1} | ({"backend": func.pg_backend_pid()} if locked else {})
        with self._connection.begin():
            return bool(self._connection.execute(mine.values(values)).rowcount)

    def release(self, epoch: int) -> None:
        """Whoever stands by may take over at once."""
        mine = leader.update().where(leader.c.name == NAME, leader.c.epoch == epoch)
        with self._connection.begin():
            self._connection.execute(mine.values(released=True))
        self._unlock()

    def _row(self, *, for_update: bool = False) -> Leader | None:
        columns = [leader.c[name] for name in Leader.__dataclass_fields__]
        wanted = select(*columns).where(leader.c.name == NAME)
        found = self._connection.execute(wanted.with_for_update() if for_update else wanted).first()
        return Leader(*found) if found else None

    def _write(self, epoch: int, candidate: Candidate, at: float, *, is_new: bool) -> None:
        values = {
            "epoch": epoch,
            "renewals": 0,
            "released": False,
            "place": candidate.place,
            "holder": candidate.holder,
            "since": at,
            "backend": func.pg_backend_pid(),
        }
        row = insert(leader).values(name=NAME, **values) if is_new else leader.update().values(values)
        self._connection.execute(row)
        # From here on a commit of the epoch before fails, and this one waits for a commit that is under way.
        released = progress.c.name == RELEASED
        if not self._connection.execute(progress.update().where(released).values(epoch=epoch)).rowcount:
            self._connection.execute(insert(progress).values(name=RELEASED, seq=0, epoch=epoch))

    def _lock(self) -> bool:
        if not self._has_lock:
            taking = text("SELECT pg_try_advisory_lock(:lock, hashtext(current_schema()))")
            with self._connection.begin():
                self._has_lock = bool(self._connection.scalar(taking, {"lock": LOCK}))
        return self._has_lock

    def _unlock(self) -> None:
        self._has_lock = False
        with self._connection.begin():
            self._connection.execute(
                text("SELECT pg_advisory_unlock(:lock, hashtext(current_schema()))"), {"lock": LOCK}
            )

    def _end(self, backend: int) -> None:
        """Of a leader that is silent: its process may have stopped while its connection has not."""
        ending = text(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid = :pid AND application_name = :name AND datname = current_database()"
        )
        with self._connection.begin():
            self._connection.execute(ending, {"pid": backend, "name": SESSION})

    def _end_what_stands_still(self) -> None:
        """A leader may have stopped while it sent the steps of a commit. The server still waits for the rest of them,
        and its limit for idle transactions does not count then.
        """
        ending = text(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid IN (SELECT pid FROM pg_locks WHERE granted AND mode = 'RowExclusiveLock' "
            "AND relation IN (CAST(:leader AS regclass), CAST(:progress AS regclass))) "
            "AND pid <> pg_backend_pid() AND datname = current_database() "
            "AND xact_start < clock_timestamp() - make_interval(secs => :seconds)"
        )
        tables = {"leader": leader.name, "progress": progress.name}
        with self._connection.begin():
            self._connection.execute(ending, {**tables, "seconds": float(IDLE_S)})
