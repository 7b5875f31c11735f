"""Between journal and outbox: what is written leaves while this service leads, and waits while it cannot tell.

Of a service that leads no more nothing leaves.
"""

from __future__ import annotations

from typing import Protocol

from ci_gate.daemon.leadership import Lead
from ci_gate.scheduler.effects import Effect


class Release(Protocol):
    """Has the outbox carry effects out. ``again``: the process before this one may have carried them out."""

    def __call__(self, effects: list[Effect], *, again: bool = False) -> None: ...


class Gate:
    """Used on the loop's thread."""

    def __init__(self, lead: Lead, release: Release) -> None:
        self._lead = lead
        self._release = release
        self._waiting: list[tuple[list[Effect], bool]] = []
        lead.when_renewed(self._let_out)

    def pass_on(self, effects: list[Effect], *, again: bool = False) -> None:
        """In order, now or later."""
        self._waiting.append((effects, again))
        self._let_out()

    def _let_out(self) -> None:
        if self._waiting and self._lead.holds():
            waiting, self._waiting = self._waiting, []
            for effects, again in waiting:
                self._release(effects, again=again)
