"""Between journal and outbox: what is written leaves while this service leads, and waits while it cannot tell.

Of a service that leads no more nothing leaves.
"""

from __future__ import annotations

from collections.abc import Callable

from ci_gate.daemon.leadership import Lead
from ci_gate.scheduler.effects import Effect


class Gate:
    """Used on the loop's thread. ``release`` has the outbox carry effects out."""

    def __init__(self, lead: Lead, release: Callable[[list[Effect]], None]) -> None:
        self._lead = lead
        self._release = release
        self._waiting: list[Effect] = []
        lead.when_renewed(self._let_out)

    def pass_on(self, effects: list[Effect]) -> None:
        """In order, now or later."""
        self._waiting += effects
        self._let_out()

    def _let_out(self) -> None:
        if self._waiting and self._lead.holds():
            effects, self._waiting = self._waiting, []
            self._release(effects)
