"""What Gerrits are asked, and what the looks for missed events find, as metrics; Zuul had none of these."""

from __future__ import annotations

from ci_gate.model.operations import CatchUp, CommandLoad
from ci_gate.statsd import StatsdLines, part_of_name


class GerritMetrics:
    """Does nothing without ``lines``. Used on the loop's thread only."""

    def __init__(self, lines: StatsdLines | None) -> None:
        self._lines = lines
        self._told: dict[str, int] = {}

    def command(self, seconds: float, load: CommandLoad) -> None:
        """A command has ended."""
        if self._lines is None:
            return
        name = _connection(load.name)
        self._lines.incr(f"{name}.command")
        self._lines.timing(f"{name}.command", _milliseconds(seconds))
        self._lines.gauge(f"{name}.commands_last_minute", load.last_minute)
        self._lines.gauge(f"{name}.commands_waiting", load.waiting)
        self._lines.gauge(f"{name}.channels", load.channels)

    def look(self, state: CatchUp, seconds: float) -> None:
        """A look has ended, well or not."""
        if self._lines is None:
            return
        name = f"{_connection(state.name)}.catch_up"
        self._lines.timing(f"{name}.look", _milliseconds(seconds))
        self._lines.incr(f"{name}.{'failed' if state.problem else 'look'}")
        for _ in range(state.found_total - self._told.get(state.name, 0)):
            self._lines.incr(f"{name}.found")
        self._told[state.name] = state.found_total


def _connection(name: str) -> str:
    return f"zuul.gerrit.{part_of_name(name)}"


def _milliseconds(seconds: float) -> int:
    return max(0, int(seconds * 1000))
