"""The build history follows the journal: what is missing in it after a crash is found there, and written then."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import structlog

from ci_gate.config.settings import DatabaseSettings
from ci_gate.daemon.records import decode_effects
from ci_gate.model.history import PastBuildSet
from ci_gate.scheduler.effects import Effect, RecordHistory
from ci_gate.store.journal import Journal

AT_ONCE = 200  # steps in one transaction
DAY_S = 86_400.0
MB = 1024 * 1024

log = structlog.stdlib.get_logger("zuul.Journal")


def past_of(effects: Iterable[Effect]) -> list[PastBuildSet]:
    """What effects tell the history."""
    return [each.build_set for each in effects if isinstance(each, RecordHistory)]


def catch_up(journal: Journal) -> int:
    """Write what steps tell that the history lacks; how many build sets that was. Raises as SQLAlchemy does."""
    last, done, written = journal.last_seq(), journal.history_upto(), 0
    pending: list[PastBuildSet] = []
    for seq, effects in journal.effects_with(RecordHistory.__name__, after=done):
        pending += past_of(decode_effects(effects))
        if len(pending) >= AT_ONCE:
            journal.keep_history(pending, seq)
            written += len(pending)
            pending = []
    if pending or last > done:
        journal.keep_history(pending, max(last, done))
    return written + len(pending)


class HistoryWriter:
    """Used in the journal's thread, after each commit. It never fails: what it could not write it finds later."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._is_behind = True  # nobody knows what happened before

    def follow(self, effects: Iterable[Effect], upto: int) -> None:
        """``effects`` are those of all steps since the last call, up to step ``upto``."""
        past = past_of(effects)
        if not past:
            return
        try:
            if self._is_behind:
                catch_up(self._journal)
            else:
                self._journal.keep_history(past, upto)
        except Exception as problem:  # noqa: BLE001  # whatever it is: the gate does not stop for its history
            log.warning("the build history cannot be written; it is caught up later", reason=first_line(problem))
            self._is_behind = True
        else:
            self._is_behind = False


@dataclass(frozen=True, slots=True)
class Retention:
    """What may be forgotten: times in seconds since the epoch; ``most_bytes`` of steps and snapshots stay, roughly."""

    steps_before: float
    most_bytes: int
    builds_before: float

    @classmethod
    def of(cls, database: DatabaseSettings, now: float) -> Retention:
        return cls(
            steps_before=now - database.retention_days * DAY_S,
            most_bytes=database.retention_size_mb * MB,
            builds_before=now - database.history_days * DAY_S,
        )


def tidy(journal: Journal, retention: Retention) -> str | None:
    """Forget old steps and old builds; no step that the history has not seen. Blocks. What went wrong, if anything.

    What fails is done the next time: the service goes on without it.
    """
    try:
        catch_up(journal)
        journal.trim(retention.steps_before, retention.most_bytes)
        journal.trim_history(retention.builds_before)
    except Exception as problem:  # noqa: BLE001  # as above
        return first_line(problem)
    return None


def first_line(problem: Exception) -> str:
    return f"{type(problem).__name__}: {(str(problem).splitlines() or [''])[0]}"
