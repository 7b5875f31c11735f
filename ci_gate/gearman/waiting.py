"""The jobs that wait for a worker, inside the built-in job server. Knows nothing of connections and packets.

Strict priority, first come first served within one, over all functions of a worker (gearman-jenkins.md 7). A
worker's next job is found by looking at functions, never at every job.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

import gear

# From the one that is served first to the one that is served last.
PRECEDENCES = (gear.PRECEDENCE_HIGH, gear.PRECEDENCE_NORMAL, gear.PRECEDENCE_LOW)


@dataclass(eq=False, slots=True)
class ServerJob:
    """One job of the server. Names that gear's own methods read are gear's (``name``, ``running``, ...).

    ``clients`` are the connections that submitted it and hear of it, in order. ``order`` grows with every job.
    ``progress`` has the latest WORK_DATA and WORK_STATUS by packet type, for clients that come later.
    """

    handle: bytes
    name: bytes
    binary_unique: bytes
    arguments: bytes
    precedence: int
    order: int
    background: bool = False
    running: bool = False
    numerator: bytes | None = None
    denominator: bytes | None = None
    worker_connection: Any = None
    clients: dict[Any, None] = field(default_factory=dict)
    progress: dict[int, Any] = field(default_factory=dict)


def _is_behind(job: ServerJob, jobs: OrderedDict[bytes, ServerJob]) -> bool:
    return bool(jobs) and next(reversed(jobs.values())).order > job.order


class WaitingJobs:
    """By precedence, then function, then order of arrival. A job is in it from its submission to its grab."""

    def __init__(self) -> None:
        self._levels: dict[int, dict[bytes, OrderedDict[bytes, ServerJob]]] = {each: {} for each in PRECEDENCES}

    def add(self, job: ServerJob) -> None:
        """A job that waited before stands in front of those that came after it."""
        jobs = self._levels[job.precedence].setdefault(job.name, OrderedDict())
        later = [each.handle for each in jobs.values() if each.order > job.order] if _is_behind(job, jobs) else []
        jobs[job.handle] = job
        for handle in later:
            jobs.move_to_end(handle)

    def remove(self, job: ServerJob) -> None:
        level = self._levels[job.precedence]
        jobs = level[job.name]
        del jobs[job.handle]
        if not jobs:
            del level[job.name]

    def next_for(self, functions: AbstractSet[bytes]) -> ServerJob | None:
        """The job that a worker with these functions gets now; it stays in."""
        for level in self._levels.values():
            heads = [next(iter(level[name].values())) for name in level.keys() & functions]
            if heads:
                return min(heads, key=lambda job: job.order)
        return None

    def counts(self) -> Counter[bytes]:
        """By function."""
        numbers: Counter[bytes] = Counter()
        for level in self._levels.values():
            numbers.update({name: len(jobs) for name, jobs in level.items()})
        return numbers

    def has(self, function: bytes) -> bool:
        return any(function in level for level in self._levels.values())
