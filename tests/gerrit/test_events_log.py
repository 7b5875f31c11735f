"""The events-log plugin as it is described: lines of a stream over HTTP, so many at a time (gerrit-wire.md 10.1)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from urllib.parse import unquote

import pytest

from ci_gate.gerrit import events_log as module
from ci_gate.gerrit.events_log import EventsLogError, logged_events

START = 1_700_000_000.0


class Plugin:
    """Answers with the newest rows between two bounds, both inclusive."""

    def __init__(self, *times: float, most: int = 5000, zone_s: float = 0.0) -> None:
        self.lines = {
            n: json.dumps({"type": "comment-added", "n": n, "eventCreatedOn": int(at)}) for n, at in enumerate(times)
        }
        self.times, self.most, self.zone_s = times, most, zone_s
        self.asked: list[str] = []

    async def __call__(self, path: str) -> tuple[int, str]:
        self.asked.append(path)
        assert " " not in path
        bounds = dict(each.split("=") for each in unquote(path.partition("?")[2]).split(";"))
        since = self._at(bounds["t1"])
        until = self._at(bounds["t2"]) if "t2" in bounds else float("inf")
        rows = [self.lines[n] for n, at in enumerate(self.times) if since <= int(at) <= until]
        return 200, "\n".join(rows[-self.most :]) + "\n"

    def _at(self, text: str) -> float:
        return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp() - self.zone_s


async def test_events_of_the_time_come_in_order_and_a_minute_more():
    plugin = Plugin(START - 61, START - 60, START + 5, START, START + 60, START + 161)
    found = await logged_events(plugin, START, START + 100)
    assert [each["n"] for each in found] == [1, 3, 2, 4]
    assert plugin.asked == ["plugins/events-log/events/?t1=2023-11-14%2022:12:20".replace(":", "%3A")]


async def test_a_line_ends_at_a_line_feed_only():
    plugin = Plugin(START)
    plugin.lines[0] = plugin.lines[0].replace("comment-added", "comment-added\u2028\x85")
    assert len(await logged_events(plugin, START, START + 10)) == 1


async def test_bounds_are_in_the_servers_zone():
    plugin = Plugin(START, zone_s=7200.0)
    assert len(await logged_events(plugin, START, START + 10, zone_s=7200.0)) == 1
    assert "2023-11-15" in plugin.asked[0]


async def test_an_answer_as_long_as_they_may_be_is_asked_for_in_parts(monkeypatch):
    monkeypatch.setattr(module, "MOST_ROWS", 10)
    times = [START + n * 0.5 for n in range(100)]
    plugin = Plugin(*times, most=10)
    found = await logged_events(plugin, START, START + 50)
    assert sorted(each["n"] for each in found) == list(range(100)), "none is lost, none comes twice"
    assert len(plugin.asked) > 10


async def test_more_in_a_moment_than_can_be_asked_for_is_an_error_and_no_loss(monkeypatch):
    monkeypatch.setattr(module, "MOST_ROWS", 10)
    plugin = Plugin(*[START] * 20, most=10)
    with pytest.raises(EventsLogError, match="more than 10 events within two seconds"):
        await logged_events(plugin, START, START + 50)


async def test_a_line_that_cannot_be_read_is_passed_over():
    async def fetch(_: str) -> tuple[int, str]:
        good = json.dumps({"type": "ref-updated", "eventCreatedOn": START})
        odd = json.dumps({"type": "ref-updated", "eventCreatedOn": "soon"})
        return 200, f"{{broken\n\n[1]\n{odd}\n{good}\n{good}\n"

    assert len(await logged_events(fetch, START, START + 1)) == 1


@pytest.mark.parametrize(("status", "installed"), [(404, False), (405, False), (401, True), (500, True), (503, True)])
async def test_what_is_no_answer_is_an_error_that_says_whether_to_ask_again(status, installed):
    async def fetch(_: str) -> tuple[int, str]:
        return status, "<html>"

    with pytest.raises(EventsLogError) as problem:
        await logged_events(fetch, START, START + 1)
    assert problem.value.installed is installed


@pytest.mark.parametrize("broken", [OSError("connection refused"), TimeoutError()])
async def test_a_gerrit_that_is_away_is_an_error(broken):
    async def fetch(_: str) -> tuple[int, str]:
        raise broken

    with pytest.raises(EventsLogError, match="does not answer"):
        await logged_events(fetch, START, START + 1)
