"""The events-log plugin: the very events of a stream, kept by Gerrit and asked for over HTTP (gerrit-wire.md 10.1).

Knows no HTTP: it is given a function that fetches a path below Gerrit's address, logged in.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from urllib.parse import quote

from ci_gate.gerrit.events import BadLineError, JsonObject, parse_line

PATH = "plugins/events-log/events/"
MOST_ROWS = 5000  # the plugin's usual limit: an answer of just as many may not be all
MARGIN_S = 60.0
AWAY = frozenset({404, 405, 501})

Fetch = Callable[[str], Awaitable[tuple[int, str]]]
"""A path below Gerrit's address, with its query → status and body. Raises OSError or TimeoutError without an answer."""


class EventsLogError(Exception):
    """No answer that can be used. ``installed`` False: Gerrit has no such plugin, and need not be asked again."""

    def __init__(self, text: str, *, installed: bool = True) -> None:
        super().__init__(text)
        self.installed = installed


async def logged_events(fetch: Fetch, since: float, until: float, *, zone_s: float = 0.0) -> list[JsonObject]:
    """All events that Gerrit logged between two times of its clock (seconds since the epoch), in order, each once.

    A minute more is asked for on either side. ``zone_s`` is how far the server's zone is ahead of UTC: bounds are in
    its time. Raises EventsLogError; nothing is left out without that.
    """
    first, last = since - MARGIN_S, until + MARGIN_S
    lines = await _answer(fetch, f"t1={_text(first, zone_s)}")
    if len(lines) >= MOST_ROWS:
        lines = await _between(fetch, first, last, zone_s)
    events = [_parsed(line) for line in dict.fromkeys(lines)]
    return sorted((each for each in events if each is not None and first <= _at(each) <= last), key=_at)


async def _between(fetch: Fetch, since: float, until: float, zone_s: float) -> list[str]:
    """Narrower and narrower where an answer is as long as answers may be."""
    # The plugin's own description parts the bounds with a semicolon.
    lines = await _answer(fetch, f"t1={_text(since, zone_s)};t2={_text(until, zone_s)}")
    if len(lines) < MOST_ROWS:
        return lines
    if until - since < 2:  # bounds are whole seconds
        raise EventsLogError(f"more than {MOST_ROWS} events within two seconds of {_text(since, 0)} UTC")
    middle = float(int((since + until) / 2))
    # A second belongs to both sides: lines that come twice are the same.
    return [*await _between(fetch, since, middle, zone_s), *await _between(fetch, middle, until, zone_s)]


async def _answer(fetch: Fetch, bounds: str) -> list[str]:
    try:
        status, body = await fetch(f"{PATH}?{quote(bounds, safe='=;')}")
    except (OSError, TimeoutError) as problem:
        raise EventsLogError(f"the events-log plugin does not answer: {problem}") from problem
    if status in AWAY:
        raise EventsLogError("Gerrit has no events-log plugin", installed=False)
    if status != 200:
        raise EventsLogError(f"the events-log plugin answers with status {status}")
    return [line for line in body.split("\n") if line.strip()]


def _text(at: float, zone_s: float) -> str:
    return datetime.fromtimestamp(at + zone_s, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _parsed(line: str) -> JsonObject | None:
    """A broken one is passed over, as on the stream."""
    try:
        return parse_line(line)
    except BadLineError:
        return None


def _at(event: JsonObject) -> float:
    try:
        return float(event.get("eventCreatedOn") or 0)
    except (TypeError, ValueError):
        return 0.0
