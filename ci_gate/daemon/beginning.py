"""Where a start begins: where the service stood when it ended, however it ended."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import IO

import structlog

from ci_gate.config.layout import LoadedLayout
from ci_gate.config.settings import Settings
from ci_gate.daemon.functions import FunctionOracle
from ci_gate.daemon.history import tidy
from ci_gate.daemon.layouts import digest_of, encode_layout
from ci_gate.daemon.lock import lock
from ci_gate.daemon.outstanding import Outstanding
from ci_gate.daemon.records import RecordingOracle
from ci_gate.daemon.recovery import Standing, keep, recover
from ci_gate.scheduler.identifiers import SEED_BYTES
from ci_gate.scheduler.scheduler import Scheduler
from ci_gate.store.journal import Journal, default_address

DAY_S = 86_400.0

log = structlog.stdlib.get_logger("zuul.Journal")


@dataclass(slots=True)
class Beginning:
    """``layout_is_new``: another than the one that was in force; the first input has to bring it."""

    journal: Journal
    standing: Standing
    oracle: RecordingOracle
    layout_is_new: bool
    held: IO[str]

    def close(self) -> None:
        self.journal.close()
        self.held.close()


def address_of(settings: Settings) -> str:
    return settings.database.dburi or default_address(settings.state_dir)


def begin(settings: Settings, loaded: LoadedLayout) -> Beginning:
    """Blocks. Raises LockedError, OSError, SchemaError, JournalDamagedError, and what SQLAlchemy raises."""
    held = lock(settings.state_dir)
    journal = Journal(address_of(settings))
    try:
        journal.open()
        return _begin(settings, loaded, journal, held)
    except BaseException:
        journal.close()
        held.close()
        raise


def _begin(settings: Settings, loaded: LoadedLayout, journal: Journal, held: IO[str]) -> Beginning:
    now, options = time.time(), settings.scheduler
    delays = {each.name: each.event_delay_s for each in settings.gerrits}
    oracle = RecordingOracle(FunctionOracle(loaded.functions))
    digest = digest_of(encode_layout(loaded.layout))
    standing = recover(journal)
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
    keep(journal, standing, now)
    database = settings.database
    problem = tidy(
        journal,
        steps_before=now - database.retention_days * DAY_S,
        builds_before=now - database.history_days * DAY_S,
    )
    if problem is not None:
        log.warning("old steps and builds cannot be forgotten", reason=problem)
    return Beginning(journal, standing, oracle, standing.digest != digest, held)
