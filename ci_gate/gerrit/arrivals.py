"""Events as they arrive, from a stream or in posts: counted, understood, and handed on in their order."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import structlog

from ci_gate.config.settings import GerritSettings
from ci_gate.gerrit.events import BadLineError, JsonObject, event_of, is_known, parse_line
from ci_gate.model.event import Event

MOST_BATCHED_REFS = 10_000

watcher_log = structlog.stdlib.get_logger("gerrit.GerritWatcher")


class Arrivals:
    """``on_dropped`` is told when Gerrit says that it has thrown events away."""

    def __init__(
        self, settings: GerritSettings, on_event: Callable[[Event], None], on_dropped: Callable[[], None]
    ) -> None:
        self._settings = settings
        self._on_event = on_event
        self._on_dropped = on_dropped
        self.events = self.broken_lines = 0
        self.last_event_at: float | None = None
        self.unknown: Counter[str] = Counter()
        self._told: set[str] = set()
        self._batched_refs: dict[tuple[str | None, ...], None] = {}

    def take_line(self, line: str) -> None:
        """Raises BadLineError, which is counted and told of."""
        try:
            self._take(parse_line(line))
        except BadLineError as problem:
            self.lost_line("broken line", "an event cannot be read", str(problem))
            raise

    def lost_line(self, kind: str, text: str, reason: str, count: int = 1) -> None:
        self.broken_lines += count
        self._tell_once(kind, text, reason)

    def _take(self, found: JsonObject) -> None:
        kind = found["type"]
        self.events += 1
        self.last_event_at = time.time()
        if kind == "batch-ref-updated":
            for each in found.get("refUpdates") or ():
                self._take_batched_ref({**found, "type": "ref-updated", "refUpdate": each})
        elif kind == "ref-updated":
            self._take_ref(found)
        elif kind == "dropped-output":
            watcher_log.warning("Gerrit dropped events that we had not taken in time", connection=self._settings.name)
            self._on_dropped()
        elif not is_known(kind):
            self.unknown[kind] += 1
            self._tell_once(f"type {kind}", "unknown event type, passed over", kind)
        else:
            event = event_of(found, self._settings)
            if event is not None:
                self._on_event(event)

    def _take_batched_ref(self, found: JsonObject) -> None:
        event = event_of(found, self._settings)
        if event is not None:
            if len(self._batched_refs) < MOST_BATCHED_REFS:
                self._batched_refs[event.project, event.ref, event.oldrev, event.newrev] = None
            self._on_event(event)

    def _take_ref(self, found: JsonObject) -> None:
        """A site may send a batch first and then each update of it: the update that was in the batch is passed over."""
        event = event_of(found, self._settings)
        if event is None:
            return
        name = (event.project, event.ref, event.oldrev, event.newrev)
        if name in self._batched_refs:
            del self._batched_refs[name]
        else:
            self._on_event(event)

    def _tell_once(self, kind: str, text: str, reason: str) -> None:
        if kind not in self._told:
            self._told.add(kind)
            watcher_log.warning(text, connection=self._settings.name, reason=reason, note="told once")
