"""Where a start begins: where the service stood when it ended, however it ended."""

from __future__ import annotations

import gc
import os
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy.exc import DatabaseError

from ci_gate.config.layout import LoadedLayout
from ci_gate.config.settings import Settings
from ci_gate.daemon.functions import FunctionOracle
from ci_gate.daemon.history import Retention, tidy
from ci_gate.daemon.layouts import digest_of, encode_layout
from ci_gate.daemon.leadership import Lead
from ci_gate.daemon.outstanding import Outstanding
from ci_gate.daemon.records import RecordingOracle
from ci_gate.daemon.recovery import JournalDamagedError, Standing, keep, recover
from ci_gate.daemon.restoring import MadeState, states_made
from ci_gate.daemon.standing_by import Turn
from ci_gate.scheduler.identifiers import SEED_BYTES
from ci_gate.scheduler.scheduler import Scheduler
from ci_gate.sql.address import with_limits
from ci_gate.store.journal import Journal, default_address, file_of

log = structlog.stdlib.get_logger("zuul.Journal")


@dataclass(slots=True)
class Beginning:
    """``layout_is_new``: another than the one that was in force; the first input has to bring it.

    ``made_elsewhere``: merged states in use that a service elsewhere has made, with its own merger. ``loss``: what to
    tell people of steps that the disk has lost.
    """

    journal: Journal
    standing: Standing
    oracle: RecordingOracle
    layout_is_new: bool
    lead: Lead
    made_elsewhere: Sequence[MadeState] = ()
    loss: str | None = None


def address_of(settings: Settings) -> str:
    """Of the journal's database, with limits of time. Raises BadAddressError."""
    given = settings.database.dburi
    return with_limits(given) if given else default_address(settings.state_dir)


def begin(settings: Settings, loaded: LoadedLayout, turn: Turn) -> Beginning:
    """Blocks. Raises SchemaError, JournalDamagedError, and what SQLAlchemy raises."""
    journal = Journal(address_of(settings), turn.lead.epoch)
    gc.disable()  # thousands of steps are made of hundreds of thousands of objects, and few of them are garbage
    try:
        journal.open()
        return _begin(settings, loaded, journal, turn)
    except BaseException as problem:
        journal.close()
        if is_damage(problem):
            where = file_of(address_of(settings))
            raise JournalDamagedError(f"{where} is damaged: {str(problem).splitlines()[0]}") from problem
        raise
    finally:
        gc.enable()
        if turn.follower is not None:
            turn.follower.close()


def is_damage(problem: BaseException) -> bool:
    """Does SQLite say that a file is no database, or that its parts do not fit?"""
    if not isinstance(problem, DatabaseError) or not isinstance(problem.orig, sqlite3.DatabaseError):
        return False
    return problem.orig.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def _begin(settings: Settings, loaded: LoadedLayout, journal: Journal, turn: Turn) -> Beginning:
    now, options = time.time(), settings.scheduler
    delays = {each.name: each.event_delay_s for each in settings.gerrits}
    oracle = RecordingOracle(FunctionOracle(loaded.functions))
    digest = digest_of(encode_layout(loaded.layout))
    standing = turn.follower.stand() if turn.follower else recover(journal)
    lost = journal.lost()
    if lost and not journal.is_sound():
        raise JournalDamagedError(f"{file_of(address_of(settings))} is damaged")
    if standing is None:
        scheduler = Scheduler(
            loaded.layout, options=options, oracle=oracle, seed=os.urandom(SEED_BYTES), at=now, event_delays=delays
        )
        standing = Standing(0, digest, loaded.layout, scheduler, options, delays, Outstanding(), [])
    else:
        standing.options, standing.event_delays = options, delays
        standing.outstanding.tried_before(now)
        standing.ask(oracle)
        items = sum(len(queue.heads) for each in standing.scheduler.view().pipelines for queue in each.queues)
        log.info("goes on where it stood", step=standing.seq, queues_with_items=items)
    loss = _told_of(lost, standing) if lost else None
    keep(journal, standing, now)
    if lost:
        journal.note_loss()
    problem = tidy(journal, Retention.of(settings.database, now))
    if problem is not None:
        log.warning("old steps and builds cannot be forgotten", reason=problem)
    made_elsewhere = states_made(journal, standing.scheduler.states_in_use()) if turn.from_elsewhere else ()
    return Beginning(journal, standing, oracle, standing.digest != digest, turn.lead, made_elsewhere, loss)


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
