"""The event stream of the simulated Gerrit: one ordered feed, a bounded buffer for each listener.

The site publishes while it holds its lock, so all listeners see one order; publishing never waits. A listener that
does not read loses events as with Gerrit: at most 128 are held, later ones are dropped, and one `dropped-output`
overtakes what is still held (gerrit-wire.md 3.3). Knows nothing of SSH.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from ci_gate.sandbox.gerrit_json import Json, line

BUFFER = 128
"""Unsent events that a listener may have."""


@dataclass(frozen=True, slots=True)
class Output:
    """Bytes for a listener; after the `last` ones its connection is cut."""

    data: bytes
    last: bool = False


class Listener:
    """One `stream-events` session, which wants the given types, or all of them."""

    def __init__(self, types: frozenset[str] | None, has_gone: Callable[[], bool]) -> None:
        self.has_gone = has_gone
        self._types = types
        self._waiting: deque[Output] = deque()
        self._dropped = False
        self._ready = threading.Condition()

    def offer(self, output: Output, kind: str | None = None) -> None:
        """Hold something to be sent, unless the listener does not want events of that kind or has no room."""
        if kind is not None and self._types is not None and kind not in self._types:
            return
        with self._ready:
            if len(self._waiting) < BUFFER:
                self._waiting.append(output)
            else:
                self._dropped = True
            self._ready.notify()

    def take(self, timeout: float) -> Output | None:
        """What to send next; None if there is nothing within `timeout` seconds."""
        with self._ready:
            if not self._ready.wait_for(lambda: self._dropped or self._waiting, timeout):
                return None
            if self._dropped:
                self._dropped = False
                return Output(line({"type": "dropped-output", "eventCreatedOn": int(time.time())}))
            return self._waiting.popleft()


class EventStream:
    """Hands every event to every listener."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: list[Listener] = []

    def listen(self, types: frozenset[str] | None, has_gone: Callable[[], bool]) -> Listener:
        """Add a listener; `has_gone` tells whether its session is over."""
        listener = Listener(types, has_gone)
        with self._lock:
            self._listeners.append(listener)
        return listener

    def forget(self, listener: Listener) -> None:
        """Remove a listener."""
        with self._lock:
            self._listeners.remove(listener)

    @property
    def listeners(self) -> tuple[Listener, ...]:
        """Those whose session is alive."""
        with self._lock:
            return tuple(listener for listener in self._listeners if not listener.has_gone())

    def publish(self, event: Json) -> None:
        """Send one event to all who want its type."""
        output = Output(line(event))
        for listener in self.listeners:
            listener.offer(output, event["type"])

    def write(self, data: bytes, *, last: bool = False) -> None:
        """Send bytes as they are to all, for tests of broken streams; the `last` ones end the session."""
        for listener in self.listeners:
            listener.offer(Output(data, last))
