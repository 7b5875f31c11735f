"""One Gerrit as we have come to know it, whichever way it is asked: what it takes, and how much it may be given."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog

from ci_gate.config.settings import GerritSettings
from ci_gate.gerrit.labels import LabelWatch
from ci_gate.gerrit.lengths import LONGEST_MESSAGE, cut, learned_limit
from ci_gate.gerrit.pace import Pace

log = structlog.stdlib.get_logger("zuul.GerritConnection")


class Peer:
    """``settings.max_ssh_channels`` commands or requests at the same time; the others wait their turn (``pace``).

    ``alert`` gets a text when an operator has to do something; ``measured`` how many seconds a command took.
    ``longest_message``: in UTF-16 units, less where a site takes less than is usual.
    """

    def __init__(
        self, settings: GerritSettings, may_send: Callable[[], bool] = lambda: True, *, user: str | None = None
    ) -> None:
        """``may_send`` is asked in any thread, right before a command leaves: who has lost the lead sends nothing.

        ``user``: the account that reviews are of, if it is not the one that listens.
        """
        self.settings = settings
        self.may_send = may_send
        self.pace = Pace(settings.name, settings.max_ssh_channels, settings.commands_per_minute)
        self.alert: Callable[[str], None] = lambda text: log.error(text, connection=settings.name)
        self.measured: Callable[[float], None] = lambda _: None
        self.labels = LabelWatch(user or settings.user, lambda text: self.alert(text))  # noqa: PLW0108  # one may be set later
        self.longest_message = LONGEST_MESSAGE

    @asynccontextmanager
    async def turn(self, *, urgent: bool) -> AsyncIterator[float]:
        """One command's; waits until it may be sent. Gives the (monotonic) time when its turn came."""
        async with self.pace.turn(urgent=urgent):
            begun = time.monotonic()
            try:
                yield begun
            finally:
                took = time.monotonic() - begun
                self.pace.took(took)
                self.measured(took)

    def cut(self, message: str) -> str:
        """Not longer than this Gerrit takes."""
        return cut(message, self.longest_message, self.settings.status_url)

    def learn_limit(self, said: str) -> bool:
        """Did it refuse a message for its length? From now on they are shorter."""
        limit = learned_limit(said, self.longest_message)
        if limit is not None:
            self.longest_message = limit
        return limit is not None
