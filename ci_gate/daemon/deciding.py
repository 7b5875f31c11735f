"""The one place where inputs become effects: take, decide, record. The recorder hands the effects out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from ci_gate.daemon.decisions import log_decisions
from ci_gate.daemon.inbox import Inbox
from ci_gate.daemon.metrics import Metrics
from ci_gate.daemon.operations import Observer
from ci_gate.daemon.recorder import Recorder
from ci_gate.daemon.records import RecordingOracle
from ci_gate.daemon.timers import Timers
from ci_gate.scheduler.inputs import Input, LayoutReplaced
from ci_gate.scheduler.scheduler import Scheduler

LONGEST_TURN_S = 0.01  # after so long of deciding, the loop's other work gets its turn

log = structlog.stdlib.get_logger("zuul.Server")


class Decider:
    """Used on the loop's thread. ``decided`` is called after each step, with all that it told already passed on."""

    def __init__(
        self,
        scheduler: Scheduler,
        inbox: Inbox,
        *,
        oracle: RecordingOracle,
        observer: Observer,
        timers: Timers,
        metrics: Metrics | None,
        decided: Callable[[], None],
    ) -> None:
        self._scheduler = scheduler
        self._inbox = inbox
        self._oracle = oracle
        self._observer = observer
        self._timers = timers
        self._metrics = metrics
        self._decided = decided

    async def run(self, recorder: Recorder) -> None:
        """Until cancelled."""
        turn_ends = time.monotonic() + LONGEST_TURN_S
        if self._metrics is not None:
            self._metrics.loaded(self._scheduler.view().pipelines)
        while True:
            await recorder.writable.wait()
            self._decide(await self._inbox.take(), recorder)
            if time.monotonic() >= turn_ends:
                await asyncio.sleep(0)
                turn_ends = time.monotonic() + LONGEST_TURN_S

    def _decide(self, message: Input, recorder: Recorder) -> None:
        try:
            effects = self._scheduler.handle(message)
        except Exception:
            # A defect of ours. The input is kept in the log; the service goes on for all other changes.
            log.exception("the scheduler could not handle an input", input=repr(message))
            self._observer.trouble("scheduler", f"could not handle {type(message).__name__}; see the log")
            return
        recorder.record(message, self._oracle_of(message).take(), effects)
        if isinstance(message, LayoutReplaced):
            self._timers.use(message.layout)
        log_decisions(self._scheduler.last_decisions)
        self._observer.observe(self._scheduler.last_decisions)
        if self._metrics is not None:
            self._metrics.count(self._scheduler.last_measures)
            if isinstance(message, LayoutReplaced):
                self._metrics.loaded(self._scheduler.view().pipelines)
        self._decided()

    def _oracle_of(self, message: Input) -> RecordingOracle:
        """The one that was asked in this step: a new layout comes with its own."""
        if isinstance(message, LayoutReplaced) and isinstance(message.oracle, RecordingOracle):
            self._oracle = message.oracle
        return self._oracle
