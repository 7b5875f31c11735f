"""The best common ancestors of two commits, found by walking back from both in order of date.

In a chain the two are close, and most of what lies between them is remembered; then no process is needed. A walk that
comes to more than one ancestor, or gets long, is left to ``git merge-base``.
"""

from __future__ import annotations

import heapq

from ci_gate.merger.git import Git
from ci_gate.merger.objects import Objects

MOST_READ = 200
MOST_STEPS = 5_000

_OURS, _THEIRS, _BEYOND = 1, 2, 4
_BOTH = _OURS | _THEIRS


def merge_bases(git: Git, objects: Objects, ours: str, theirs: str) -> list[str]:
    """All of them, in git's order. Raises GitError."""
    if ours == theirs:
        return [ours]
    base = _only_base(objects, ours, theirs)
    if base is not None:
        return [base]
    return git.call("merge-base", "--all", ours, theirs, accept=(0, 1)).text.split()


def _only_base(objects: Objects, ours: str, theirs: str) -> str | None:
    """None if it is not the only one, or would take long to find.

    A commit that is reached from both sides is a candidate, and what lies beyond it is not. With dates out of order
    there may be a candidate too many, never one too few: so a single one is right.
    """
    walk = _Walk(objects)
    walk.reach(ours, _OURS)
    walk.reach(theirs, _THEIRS)
    candidates = []
    for _ in range(MOST_STEPS):
        if not walk.undecided or walk.read > MOST_READ:
            break
        name, marks = walk.step()
        if marks & _BOTH == _BOTH and not marks & _BEYOND:
            candidates.append(name)
            marks |= _BEYOND
        for parent in objects.commit(name).parents:
            walk.reach(parent, marks)
    best = [each for each in candidates if not walk.marks[each] & _BEYOND]
    return best[0] if len(best) == 1 and not walk.undecided else None


class _Walk:
    """Commits by date, the youngest first, each with the sides from which it was reached.

    ``undecided`` are those still to be visited that do not lie beyond a candidate; ``read`` counts the commits that
    were not remembered.
    """

    def __init__(self, objects: Objects) -> None:
        self.marks: dict[str, int] = {}
        self.undecided: set[str] = set()
        self.read = 0
        self._objects = objects
        self._visited: dict[str, int] = {}
        self._to_visit: list[tuple[int, str]] = []

    def reach(self, name: str, marks: int) -> None:
        before = self.marks.get(name, 0)
        after = before | marks
        if after == before:
            return
        self.marks[name] = after
        self.read += not self._objects.knows_commit(name)
        heapq.heappush(self._to_visit, (-self._objects.commit(name).committed_at, name))
        if after & _BEYOND:
            self.undecided.discard(name)
        else:
            self.undecided.add(name)

    def step(self) -> tuple[str, int]:
        """The next commit, and how it was reached."""
        while True:
            _, name = heapq.heappop(self._to_visit)
            marks = self.marks[name]
            if self._visited.get(name) != marks:
                self._visited[name] = marks
                self.undecided.discard(name)
                return name, marks
