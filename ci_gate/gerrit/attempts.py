"""When a server may be tried again: never twice within a second, and not for minutes where it has sent us away.

Servers count: too many connections, or too many tries with a key that they do not know, get an account disabled
(gerrit-wire.md 2, 11). So this is one for the whole process, whatever connections of it go to the same server.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

SPACING_S = 1.0
ACCOUNT_PAUSE_S = 300.0  # hammering at a closed door gets accounts disabled

Server = tuple[str, int]
"""Host and port, as the settings name them."""


class Attempts:
    """Used from any thread. ``clock`` gives seconds, ``sleep`` waits for some."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._next: dict[Server, float] = {}
        self._succeeded: dict[Server, float] = {}
        self._refused: dict[tuple[Server, str], tuple[float, str]] = {}

    def wait_for_turn(self, server: Server) -> None:
        """Blocks until a connection to the server may be tried."""
        with self._lock:
            now = self._clock()
            turn = max(now, self._next.get(server, now))
            self._next[server] = turn + SPACING_S
        if turn > now:
            self._sleep(turn - now)

    def succeeded(self, server: Server, user: str) -> None:
        with self._lock:
            self._succeeded[server] = self._clock()
            self._refused.pop((server, user), None)

    def refused(self, server: Server, user: str, text: str) -> None:
        """The server does not let this account in."""
        with self._lock:
            self._refused[server, user] = (self._clock() + ACCOUNT_PAUSE_S, text)

    def refusal(self, server: Server, user: str) -> str | None:
        """What the server said when it last sent the account away, while it is too early to ask again."""
        with self._lock:
            until, text = self._refused.get((server, user), (0.0, ""))
            return text if self._clock() < until else None

    def succeeded_since(self, server: Server, since: float) -> bool:
        """Has any connection to the server been made after that moment of ``clock``?"""
        with self._lock:
            return self._succeeded.get(server, float("-inf")) > since


ATTEMPTS = Attempts()
"""Of this process."""
