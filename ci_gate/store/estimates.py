"""How long jobs take: the last ten successful run times of each (scheduler.md 1.4, outputs.md 9).

Kept as lines of JSON that are only ever appended, ``[job, seconds]``, and rewritten at a start when most of them are
outdated. The ``times`` folder of a Zuul that ran here before is read for jobs of which nothing is known yet; it is
never written.
"""

from __future__ import annotations

import json
import struct
import threading
from pathlib import Path
from typing import Protocol

KEPT = 10
OLD_FORMAT = struct.Struct("<Bx10H10H10B")  # version 0; successes and failures in seconds; outcomes


class Estimates(Protocol):
    def get(self, job: str) -> float | None:
        """The expected run time in seconds; None without history. Never waits."""

    def add(self, job: str, seconds: float, *, succeeded: bool) -> None:
        """A run took so long; only successful ones make estimates. May wait for the disk; raises OSError."""


class FileEstimates:
    """Reads everything when it is made; ``add`` may be called from any thread."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / "run-times.jsonl"
        self._lock = threading.Lock()
        self._times: dict[str, list[float]] = _read_old(state_dir / "times")
        lines = self._read()
        if lines > 2 * KEPT * max(len(self._times), 1):
            self._rewrite()

    def get(self, job: str) -> float | None:
        times = self._times.get(job)
        return sum(times) / len(times) if times else None

    def add(self, job: str, seconds: float, *, succeeded: bool) -> None:
        if not succeeded or seconds <= 0:
            return
        with self._lock:
            self._remember(job, seconds)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(_line(job, seconds))

    def _remember(self, job: str, seconds: float) -> None:
        self._times[job] = [*self._times.get(job, ()), seconds][-KEPT:]

    def _read(self) -> int:
        """How many lines there are. A torn or foreign line costs an estimate, nothing else."""
        try:
            lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return 0
        for line in lines:
            try:
                job, seconds = json.loads(line)
                self._remember(str(job), float(seconds))
            except (ValueError, TypeError):
                continue
        return len(lines)

    def _rewrite(self) -> None:
        rewritten = self._path.with_suffix(".new")
        kept = (_line(job, seconds) for job, times in self._times.items() for seconds in times)
        rewritten.write_text("".join(kept), encoding="utf-8")
        rewritten.replace(self._path)


def _line(job: str, seconds: float) -> str:
    return json.dumps([job, round(seconds, 3)]) + "\n"


def _read_old(folder: Path) -> dict[str, list[float]]:
    times = {}
    for path in folder.iterdir() if folder.is_dir() else ():
        try:
            version, *fields = OLD_FORMAT.unpack(path.read_bytes())
        except (OSError, struct.error):
            continue
        successes = [float(each) for each in fields[:KEPT] if each]
        if version == 0 and successes:
            times[path.name] = successes
    return times
