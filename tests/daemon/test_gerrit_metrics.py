"""What a statsd server hears of commands and of looks for missed events."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from ci_gate.daemon.gerrit_metrics import GerritMetrics
from ci_gate.model.operations import CatchUp, CommandLoad

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "operating.md"


class Lines:
    """In the place of the socket."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def incr(self, name: str) -> None:
        self.sent.append(f"{name}:1|c")

    def timing(self, name: str, milliseconds: int) -> None:
        self.sent.append(f"{name}:{milliseconds}|ms")

    def gauge(self, name: str, value: int) -> None:
        self.sent.append(f"{name}:{value}|g")


@pytest.fixture
def lines():
    return Lines()


def test_a_command_is_counted_with_what_waits(lines):
    GerritMetrics(lines).command(0.0123, CommandLoad("gerrit", waiting=3, channels=2, last_minute=40))
    assert lines.sent == [
        "zuul.gerrit.gerrit.command:1|c",
        "zuul.gerrit.gerrit.command:12|ms",
        "zuul.gerrit.gerrit.commands_last_minute:40|g",
        "zuul.gerrit.gerrit.commands_waiting:3|g",
        "zuul.gerrit.gerrit.channels:2|g",
    ]


def test_a_look_tells_what_it_found_once(lines):
    metrics, state = GerritMetrics(lines), CatchUp("gerrit", at=1.0, found=2, found_total=2)
    metrics.look(state, 1.5)
    assert lines.sent == [
        "zuul.gerrit.gerrit.catch_up.look:1500|ms",
        "zuul.gerrit.gerrit.catch_up.look:1|c",
        "zuul.gerrit.gerrit.catch_up.found:1|c",
        "zuul.gerrit.gerrit.catch_up.found:1|c",
    ]
    lines.sent.clear()
    metrics.look(replace(state, found=0), 0.5)
    assert len(lines.sent) == 2


def test_a_look_that_failed_is_counted_as_such(lines):
    GerritMetrics(lines).look(CatchUp("gerrit", problem="cannot reach Gerrit"), 0.5)
    assert lines.sent == ["zuul.gerrit.gerrit.catch_up.look:500|ms", "zuul.gerrit.gerrit.catch_up.failed:1|c"]


def test_connections_are_kept_apart_and_nothing_is_sent_to_nobody(lines):
    metrics = GerritMetrics(lines)
    for name in ("one", "two"):
        metrics.look(CatchUp(name, at=1.0, found_total=1), 0.1)
    assert sum(each.endswith(".found:1|c") for each in lines.sent) == 2
    silent = GerritMetrics(None)
    silent.look(CatchUp("gerrit"), 0.1)
    silent.command(0.1, CommandLoad("gerrit"))


def test_every_name_is_in_the_document(lines):
    metrics, text = GerritMetrics(lines), DOCUMENT.read_text()
    metrics.command(0.1, CommandLoad("NAME"))
    metrics.look(CatchUp("NAME", found_total=1), 0.1)
    metrics.look(CatchUp("NAME", problem="x"), 0.1)
    names = {each.split(":")[0] for each in lines.sent}
    assert len(names) == 7
    assert names <= set(re.findall(r"`(zuul\.gerrit\.[\w.]+)`", text))
