"""A results database for the daemon: records in, deliveries out, and nothing that waits on the loop's thread."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from ci_gate.config.settings import SqlSettings
from ci_gate.model.operations import ConnectionHealth, ConnectionState
from ci_gate.model.report import Delivery, DeliveryOutcome, ResultRecord
from ci_gate.sql.thread import CallThread

if TYPE_CHECKING:
    from ci_gate.sql.results import ResultsWriter

KIND = "results database"
FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 60.0
WORTH_ANOTHER_LOOK = (DeliveryOutcome.UNREACHABLE, DeliveryOutcome.TRANSIENT)

T = TypeVar("T")


class ResultsDatabase:
    """``write`` takes one report at a time: one is repeated until it is settled before the next one comes."""

    def __init__(self, settings: SqlSettings) -> None:
        self._settings = settings
        self._made_at = time.time()
        self._thread = CallThread(f"sql {settings.name}")
        self._writer: ResultsWriter | None = None

    @property
    def health(self) -> ConnectionHealth:
        if self._writer is not None:
            return self._writer.health
        return ConnectionHealth(self._settings.name, KIND, ConnectionState.CONNECTING, self._made_at)

    async def look(self, *, first_pause_s: float = FIRST_PAUSE_S) -> None:
        """Tell the log at the start whether the database is there; if not, look again until it is."""
        pause_s = first_pause_s
        while await self._with_writer(lambda writer: writer.look()) in WORTH_ANOTHER_LOOK:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def write(self, record: ResultRecord, *, first_tried_at: float | None = None) -> Delivery:
        """Write a report and tell what became of it; ``first_tried_at`` (seconds since the epoch) marks a repeat."""
        return await self._with_writer(lambda writer: writer.write(record, first_tried_at))

    def close(self) -> None:
        self._thread.close()

    async def _with_writer(self, call: Callable[[ResultsWriter], T]) -> T:
        return await self._thread.run(lambda: call(self._opened()))

    def _opened(self) -> ResultsWriter:
        """In the thread."""
        if self._writer is None:
            from ci_gate.sql.results import ResultsWriter  # noqa: PLC0415  # 12 MB that only who has a database pays

            self._writer = ResultsWriter(self._settings, self.health, self._made_at)
        return self._writer
