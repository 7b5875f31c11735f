"""Events in posts of Gerrit's webhooks plugin, in the place of a stream (gerrit-wire.md 10).

Whoever knows the secret may post: it is in the address that Gerrit posts to, in a header, or has signed the post. The
plugin gives up after some tries, so a post is also a hint that others may have been lost.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import Callable
from contextlib import suppress

import structlog

from ci_gate.config.settings import GerritSettings
from ci_gate.gerrit.arrivals import Arrivals
from ci_gate.gerrit.events import BadLineError
from ci_gate.gerrit.stream import StreamState
from ci_gate.model.event import Event

NONE_YET = "no post of Gerrit's webhooks plugin has come yet"
SIGNED = "sha256="
TOLD_EVERY_S = 60.0  # of posts that are refused

log = structlog.stdlib.get_logger("zuul.GerritConnection")


class Webhooks:
    """It has the surface of ``EventStream``; ``take`` is given the posts. Used on the loop's thread."""

    def __init__(
        self, settings: GerritSettings, on_event: Callable[[Event], None], on_gap: Callable[[], None] = lambda: None
    ) -> None:
        self.name = settings.name
        self._secret = (settings.webhook_secret or "").encode()
        self._on_gap = on_gap
        self._arrivals = Arrivals(settings, on_event, on_gap)
        self._since = time.time()
        self._refused = 0
        self._told_refused_at = float("-inf")

    @property
    def state(self) -> StreamState:
        """Posts may be lost at any time, so it is never complete."""
        seen = self._arrivals
        return StreamState(
            connected=True,
            since=self._since,
            complete_since=None,
            detail="" if seen.events else NONE_YET,
            last_event_at=seen.last_event_at,
            events=seen.events,
            broken_lines=seen.broken_lines,
            unknown_types=sum(seen.unknown.values()),
        )

    async def run(self) -> None:
        """Until cancelled. What happened before is looked for."""
        self._on_gap()
        await asyncio.Event().wait()

    def knows(self, token: str) -> bool:
        """Is it the secret?"""
        return bool(self._secret) and hmac.compare_digest(_bytes(token), self._secret)

    def has_signed(self, signature: str, body: bytes) -> bool:
        """Is ``sha256=HEX`` the HMAC of the body, with the secret as its key?"""
        if not self._secret or not signature.startswith(SIGNED):
            return False
        right = hmac.new(self._secret, body, hashlib.sha256).hexdigest()
        return hmac.compare_digest(_bytes(signature.removeprefix(SIGNED)), right.encode())

    def take(self, body: bytes) -> bool:
        """One event; False if it cannot be read."""
        with suppress(BadLineError):
            self._arrivals.take_line(body.decode("utf-8", errors="replace"))
            return True
        return False

    def refused(self, sender: str | None) -> None:
        """A post without the secret: told of, but not of each one."""
        self._refused += 1
        if time.monotonic() - self._told_refused_at >= TOLD_EVERY_S:
            self._told_refused_at = time.monotonic()
            log.warning(
                "refused a post without the right secret",
                connection=self.name,
                sender=sender,
                refused_so_far=self._refused,
                remedy="add ?token= with webhook_secret to the url in Gerrit's webhooks.config",
            )


def _bytes(given: str) -> bytes:
    """Whatever a stranger sends."""
    return given.encode(errors="backslashreplace")
