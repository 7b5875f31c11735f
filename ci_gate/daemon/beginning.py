"""Where a start begins: where the service stood when it ended, however it ended."""

from __future__ import annotations

import gc
import os
import sqlite3
import time
from dataclasses import dataclass
from typing import IO

import structlog
from sqlalchemy.exc import DatabaseError

from ci_gate.config.layout import LoadedLayout
from ci_gate.config.settings import Settings
from ci_gate.daemon.functions import FunctionOracle
from ci_gate.daemon.layouts import digest_of, encode_layout
from ci_gate.daemon.lock import lock
from ci_gate.daemon.outstanding import Outstanding
from ci_gate.daemon.records import RecordingOracle
from ci_gate.daemon.recovery import JournalDamagedError, Standing, keep, recover
from ci_gate.scheduler.identifiers import SEED_BYTES
from ci_gate.scheduler.scheduler import Scheduler
from ci_gate.store.journal import Journal, default_address, file_of

DAY_S = 86_400.0
MB = 1024 * 1024

log = structlog.stdlib.get_logger("zuul.Journal")


@dataclass(slots=True)
class Beginning:
    """``layout_is_new``: another than the one that was in force; the first input has to bring it.

    ``loss``: what to tell people of steps that the disk has lost.
    """

    journal: Journal
    standing: Standing
    oracle: RecordingOracle
    layout_is_new: bool
    held: IO[str]
    loss: str | None = None

    def close(self) -> None:
        self.journal.close()
        self.held.close()


def address_of(settings: Settings) -> str:
    return settings.database.dburi or default_address(settings.state_dir)


def begin(settings: Settings, loaded: LoadedLayout) -> Beginning:
    """Blocks. Raises LockedError, OSError, SchemaError, JournalDamagedError, and what SQLAlchemy raises."""
    held = lock(settings.state_dir)
    journal = Journal(address_of(settings))
    gc.disable()  # thousands of steps are made of hundreds of thousands of objects, and few of them are garbage
    try:
        journal.open()
        return _begin(settings, loaded, journal, held)
    except BaseException as problem:
        journal.close()
        held.close()
        if is_damage(problem):
            where = file_of(address_of(settings))
            raise JournalDamagedError(f"{where} is damaged: {str(problem).splitlines()[0]}") from problem
        raise
    finally:
        gc.enable()


def is_damage(problem: BaseException) -> bool:
    """Does SQLite say that a file is no database, or that its parts do not fit?"""
    if not isinstance(problem, DatabaseError) or not isinstance(problem.orig, sqlite3.DatabaseError):
        return False
    return problem.orig.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def _begin(settings: Settings, loaded: LoadedLayout, journal: Journal, held: IO[str]) -> Beginning:
    now, options = time.time(), settings.scheduler
    delays = {each.name: each.event_delay_s for each in settings.gerrits}
    oracle = RecordingOracle(FunctionOracle(loaded.functions))
    digest = digest_of(encode_layout(loaded.layout))
    standing, lost = recover(journal), journal.lost()
    if lost and not journal.is_sound():
        raise JournalDamagedError(f"{file_of(address_of(settings))} is damaged")
    if standing is None:
        scheduler = Scheduler(
            loaded.layout, options=options, oracle=oracle, seed=os.urandom(SEED_BYTES), at=now, event_delays=delays
        )
        standing = Standing(0, digest, loaded.layout, scheduler, options, delays, Outstanding(), [])
    else:
        standing.options, standing.event_delays = options, delays
        standing.ask(oracle)
        items = sum(len(queue.heads) for each in standing.scheduler.view().pipelines for queue in each.queues)
        log.info("goes on where it stood", step=standing.seq, queues_with_items=items)
    loss = _told_of(lost, standing) if lost else None
    keep(journal, standing, now)
    if lost:
        journal.note_loss()
    journal.trim(now - settings.database.retention_days * DAY_S, settings.database.retention_size_mb * MB)
    return Beginning(journal, standing, oracle, standing.digest != digest, held, loss)


def _told_of(lost: range, standing: Standing) -> str:
    """For people. From now on no identifier is one that a lost step may have given out."""
    standing.scheduler.reseed(os.urandom(SEED_BYTES))
    text = (
        f"the disk has lost steps {lost[0]} to {lost[-1]} of the journal; the service goes on from step "
        f"{standing.seq}. What happened in Gerrit since is looked for; what was reported in these steps may be "
        "reported once more"
    )
    log.error(text)
    return text
