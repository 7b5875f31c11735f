"""Events as they arrive, from a stream or in posts: counted, understood, and handed on in their order."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import structlog

from ci_gate.config.settings import GerritSettings
from ci_gate.gerrit.events import BadLineError, JsonObject, event_of, is_known, parse_line
from ci_gate.model.event import Event

MOST_UNPAIRED = 10_000

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
        self._refs_told = {False: Unpaired(), True: Unpaired()}  # by: did they come in a batch?

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
                self._take_ref({**found, "type": "ref-updated", "refUpdate": each}, batched=True)
        elif kind == "ref-updated":
            self._take_ref(found, batched=False)
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

    def _take_ref(self, found: JsonObject, *, batched: bool) -> None:
        """A site may send each update in a batch and alone, in whatever order: the later one is passed over."""
        event = event_of(found, self._settings)
        if event is None:
            return
        name = (event.project, event.ref, event.newrev)
        if not self._refs_told[not batched].pair(name):
            self._refs_told[batched].add(name)
            self._on_event(event)

    def _tell_once(self, kind: str, text: str, reason: str) -> None:
        if kind not in self._told:
            self._told.add(kind)
            watcher_log.warning(text, connection=self._settings.name, reason=reason, note="told once")


class Unpaired:
    """Updates of refs that were told in one form and not, or not yet, in the other; the oldest are forgotten."""

    def __init__(self) -> None:
        self._times: dict[tuple[str | None, ...], int] = {}

    def add(self, name: tuple[str | None, ...]) -> None:
        self._times[name] = self._times.get(name, 0) + 1
        if len(self._times) > MOST_UNPAIRED:
            del self._times[next(iter(self._times))]

    def pair(self, name: tuple[str | None, ...]) -> bool:
        """Is there one that waits for its like? Then it waits no more."""
        times = self._times.pop(name, 0)
        if times > 1:
            self._times[name] = times - 1
        return times > 0
