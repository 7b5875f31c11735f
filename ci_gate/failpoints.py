"""Places where the crash tests end the process, as a power cut would. Without the variable each does nothing.

``CI_GATE_FAILPOINT=journal.before-commit:3`` kills the process as it comes to that place for the third time. Child
processes do not inherit it. The crash tests (``tests/crash``) know the names; whoever adds a place adds its name there.
"""

from __future__ import annotations

import os
import signal
import threading

VARIABLE = "CI_GATE_FAILPOINT"


class _Armed:
    """One place, and how often it may still be passed. Any thread may come by."""

    def __init__(self, name: str, count: int) -> None:
        self.name = name
        self._left = count
        self._lock = threading.Lock()

    @classmethod
    def of(cls, text: str | None) -> _Armed | None:
        if not text:
            return None
        name, _, count = text.partition(":")
        return cls(name, int(count or 1))

    def passed(self) -> None:
        with self._lock:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


_armed = _Armed.of(os.environ.pop(VARIABLE, None))


def failpoint(place: str, what: str = "") -> None:
    """The process may end here; ``what`` is a second part of the name, behind a dot."""
    if _armed is not None and _armed.name == (f"{place}.{what}" if what else place):
        _armed.passed()
