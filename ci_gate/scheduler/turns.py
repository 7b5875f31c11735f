"""Who goes first when there is more work than workers (additions.md: ``priority``).

Where a layout has priorities no more is handed out than can be worked on at once: some merges, and of each Gearman
function one build that no worker has begun yet. The rest waits here, and goes in order of pipeline precedence, value
(high first) and time. In a layout without priorities everything is handed out at once.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ci_gate.model.build import Precedence
from ci_gate.model.layout import Layout

MERGES_AT_ONCE = 8
RANKS = {Precedence.HIGH: 0, Precedence.NORMAL: 1, Precedence.LOW: 2}

Turn = tuple[int, int, int, str]
"""Rank of the precedence, value (negated), order of asking, and the name of the build set or the uuid of the build."""


@dataclass(slots=True)
class Line:
    """``out`` are those that have been handed out and still take up room; ``waiting`` is a heap, best first."""

    room: int
    out: set[str] = field(default_factory=set)
    waiting: list[Turn] = field(default_factory=list)

    def ask(self, turn: Turn) -> bool:
        """May it go at once? If not, it waits for its turn."""
        if len(self.out) < self.room and not self.waiting:
            self.out.add(turn[-1])
            return True
        heapq.heappush(self.waiting, turn)
        return False

    def next(self, is_wanted: Callable[[str], bool]) -> Iterator[str]:
        """Those whose turn it is now; what nobody wants any more is passed over."""
        while self.waiting and len(self.out) < self.room:
            name = heapq.heappop(self.waiting)[-1]
            if is_wanted(name):
                self.out.add(name)
                yield name


@dataclass(slots=True)
class Turns:
    """``ordered``: the layout has priorities. ``builds`` are the lines by Gearman function, and ``freed`` the functions
    in whose line there may be room since the last release.
    """

    ordered: bool = False
    merges: Line = field(default_factory=lambda: Line(MERGES_AT_ONCE))
    builds: dict[str, Line] = field(default_factory=dict)
    freed: set[str] = field(default_factory=set)
    asked: int = 0

    def use(self, layout: Layout) -> None:
        self.ordered = any(each.priorities for each in layout.pipelines)

    def ask_to_merge(self, precedence: Precedence, value: int, name: str) -> bool:
        return not self.ordered or self.merges.ask(self._turn(precedence, value, name))

    def ask_to_launch(self, function: str, precedence: Precedence, value: int, uuid: str) -> bool:
        if not self.ordered:
            return True
        return self.builds.setdefault(function, Line(1)).ask(self._turn(precedence, value, uuid))

    def merged(self, name: str) -> None:
        """A merger has answered."""
        self.merges.out.discard(name)

    def begun(self, function: str, uuid: str) -> None:
        """A worker has begun a build, or nobody will."""
        line = self.builds.get(function)
        if line is not None and uuid in line.out:
            line.out.discard(uuid)
            self.freed.add(function)

    def next_merges(self, is_wanted: Callable[[str], bool]) -> Iterator[str]:
        """The names of the build sets whose turn it is now."""
        yield from self.merges.next(is_wanted)

    def next_builds(self, is_wanted: Callable[[str], bool]) -> Iterator[str]:
        """The uuids of the builds whose turn it is now."""
        while self.freed:
            function = min(self.freed)
            line = self.builds[function]
            yield from line.next(is_wanted)
            self.freed.discard(function)
            if not line.out and not line.waiting:
                del self.builds[function]

    def forget_waiting(self) -> tuple[list[str], list[str]]:
        """Nobody waits any more: the names of build sets and uuids of builds that did."""
        merges = [turn[-1] for turn in self.merges.waiting]
        builds = [turn[-1] for line in self.builds.values() for turn in line.waiting]
        for line in (self.merges, *self.builds.values()):
            line.waiting.clear()
        return merges, builds

    def _turn(self, precedence: Precedence, value: int, name: str) -> Turn:
        self.asked += 1
        return (RANKS[precedence], -value, self.asked, name)
