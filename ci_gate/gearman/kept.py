"""What builds ended with, kept for whoever was not there to hear it: a service that was down, a connection that broke.

Inside the built-in job server. Only builds: their unique ids are never used again, while other jobs may be asked for
anew under the same one.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ci_gate.gearman.waiting import ServerJob

KEEP_S = 3600.0
MOST = 20_000
LARGEST = 64 * 1024  # bytes of a packet that is kept
BUILDS = b"build:"


@dataclass(frozen=True, slots=True)
class Kept:
    """``packets``: the latest data and status, then the end."""

    handle: bytes
    packets: tuple[Any, ...]
    at: float


class KeptResults:
    """By function and unique id, in order of their ends."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._kept: OrderedDict[tuple[bytes, bytes], Kept] = OrderedDict()
        self._uniques: dict[bytes, tuple[bytes, bytes]] = {}

    def keep(self, job: ServerJob, end: Any) -> None:
        packets = (*job.progress.values(), end)
        if job.binary_unique and job.name.startswith(BUILDS) and all(len(each.data) <= LARGEST for each in packets):
            key = (job.name, job.binary_unique)
            self._kept[key] = Kept(job.handle, packets, self._now())
            self._uniques[job.binary_unique] = key
        self._drop_old()

    def get(self, function: bytes, unique: bytes) -> Kept | None:
        self._drop_old()
        return self._kept.get((function, unique))

    def knows(self, unique: bytes) -> bool:
        self._drop_old()
        return unique in self._uniques

    def _drop_old(self) -> None:
        earliest = self._now() - KEEP_S
        while self._kept and (len(self._kept) > MOST or next(iter(self._kept.values())).at < earliest):
            (_, unique), _ = self._kept.popitem(last=False)
            self._uniques.pop(unique, None)
