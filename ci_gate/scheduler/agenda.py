"""Which items a step still has to look at, in the order of a walk through everything (scheduler.md 2 and 7.1).

Pipelines in layout order; in each, passes over all its queues front to back, until a pass changes nothing. Only items
whose situation may have changed are in it, and they come in the very order in which that walk would meet them.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ci_gate.scheduler.state import Item

Key = tuple[int, int, int, int, int]
"""Round, pipeline, pass, queue, place."""


class Agenda:
    def __init__(self) -> None:
        self._heap: list[tuple[Key, int, Item]] = []
        self._waiting: set[Item] = set()
        self._now: Key | None = None

    def __bool__(self) -> bool:
        return bool(self._heap)

    def add(self, item: Item) -> None:
        if item not in self._waiting:
            self._waiting.add(item)
            heapq.heappush(self._heap, (self._key(item), item.number, item))

    def take(self) -> Item | None:
        """The next one; None at the end of the walk."""
        if not self._heap:
            return None
        self._now, _, item = heapq.heappop(self._heap)
        self._waiting.discard(item)
        return item

    def reorder(self) -> None:
        """Pipelines, queues or places have changed since items were added."""
        waiting, self._heap, self._waiting = list(self._waiting), [], set()
        for item in waiting:
            self.add(item)

    def _key(self, item: Item) -> Key:
        """What the walk has passed already comes in its next pass, or with the next walk."""
        pipeline, queue, place = item.pipeline.index, item.queue.order, item.place
        if self._now is None:
            return (0, pipeline, 0, queue, place)
        walk, present, passes, *here = self._now
        if pipeline > present:
            return (walk, pipeline, 0, queue, place)
        if pipeline < present:
            return (walk + 1, pipeline, 0, queue, place)
        return (walk, pipeline, passes if [queue, place] > here else passes + 1, queue, place)
