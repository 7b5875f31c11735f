"""The leader's journal, decided once more as it is written: whoever stands by stands where the leader does.

Nothing of it has an effect, but run times: each service keeps its own list of them.
"""

from __future__ import annotations

import structlog

from ci_gate.daemon.recovery import Replaying, Standing, last_kept
from ci_gate.model.item import StatusView
from ci_gate.scheduler.effects import Effect, RecordRunTime
from ci_gate.store.estimates import Estimates
from ci_gate.store.journal import Journal

log = structlog.stdlib.get_logger("zuul.Journal")

EMPTY = StatusView(())


class Follower:
    """Every method blocks and is for one thread at a time. They raise JournalDamagedError, and what SQLAlchemy raises.

    ``view`` is how it stands, as of the last look; any thread may read it.
    """

    def __init__(self, journal: Journal, estimates: Estimates) -> None:
        self.view = EMPTY
        self.seq = 0
        self._journal = journal
        self._estimates = estimates
        self._standing: Standing | None = None
        self._replaying: Replaying | None = None
        self._news_from = 0  # run times of earlier steps have been kept before, or are nobody's

    def follow(self) -> None:
        """Up to the journal's end. Does nothing while the tables are those of another version."""
        if not self._journal.is_of_this_version():
            return
        if self._standing is None and not self._begin():
            return
        assert self._standing is not None  # noqa: S101  # what begin does
        assert self._replaying is not None  # noqa: S101  # as above
        before = self.seq
        for entry in self._journal.entries(self._standing.seq):
            step = self._replaying.step(entry)
            self.seq = entry.seq
            if entry.seq > self._news_from:
                self._keep_run_times(step.effects)
        if self.seq != before or self.view is EMPTY:
            self.view = self._standing.scheduler.view()

    def stand(self) -> Standing | None:
        """Once nobody else writes any more: where the leader stood in the end. None if nothing was ever kept."""
        self.follow()
        return self._standing

    def close(self) -> None:
        self._journal.close()

    def _begin(self) -> bool:
        self._standing = last_kept(self._journal)
        if self._standing is None:
            return False
        self._replaying = Replaying(self._journal, self._standing)
        self.seq, self._news_from = self._standing.seq, self._journal.last_seq()
        return True

    def _keep_run_times(self, effects: list[Effect]) -> None:
        for each in effects:
            if isinstance(each, RecordRunTime):
                try:
                    self._estimates.add(each.job, each.seconds, succeeded=each.succeeded)
                except OSError as problem:
                    log.warning("run time not kept", job=each.job, reason=str(problem))
