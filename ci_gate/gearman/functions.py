"""Which functions somebody can do, as far as the job server told us (gearman-jenkins.md 4.2). No I/O but its file.

A function that was registered once is known for as long as the connection lasts, even without a worker: on-demand
nodes depend on it. Our own server begins with an empty list when it restarts, so what it once had is remembered in
``state_dir``; delete the file to forget functions that nobody offers any more.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import structlog

log = structlog.stdlib.get_logger("zuul.Gearman")

FILE_NAME = "gearman-functions.json"


class KnownFunctions:
    """Times are the loop's. The list settles when it was the same for ``stable_s``, ``limit_s`` at the latest."""

    def __init__(self, state_dir: Path | None, *, stable_s: float, limit_s: float) -> None:
        self._path = state_dir / FILE_NAME if state_dir else None
        self._stable_s = stable_s
        self._limit_s = limit_s
        self._remembered: frozenset[str] = frozenset()
        self._listed: frozenset[str] = frozenset()
        self._connected_at = 0.0
        self._changed_at = 0.0
        self._own_server = False

    def knows(self, function: str) -> bool:
        return function in self._listed or (self._own_server and function in self._remembered)

    def connected(self, now: float) -> None:
        """A new connection: what was listed on the one before does not count."""
        self._listed = frozenset()
        self._own_server = False
        self._connected_at = self._changed_at = now

    def server_is_ours(self) -> None:
        self._own_server = True

    def listed(self, names: Iterable[str], now: float) -> None:
        """The server's list as it is now."""
        new = self._listed.union(names)
        if new != self._listed:
            self._listed = new
            self._changed_at = now

    def settled(self, now: float) -> bool:
        return now - self._changed_at >= self._stable_s or now - self._connected_at >= self._limit_s

    def load(self) -> None:
        """Read the file, if there is one. Blocks."""
        if self._path is None:
            return
        try:
            self._remembered = frozenset(map(str, json.loads(self._path.read_text(encoding="utf-8"))))
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError) as error:
            log.warning("remembered functions are not readable", path=str(self._path), error=str(error))

    def save(self) -> None:
        """Remember what our own server has listed, if that is news. Blocks."""
        names = self._remembered | self._listed
        if self._path is None or not self._own_server or names == self._remembered:
            return
        self._remembered = names
        fresh = self._path.with_suffix(".new")
        try:
            fresh.write_text(json.dumps(sorted(names), indent=0), encoding="utf-8")
            fresh.replace(self._path)
        except OSError as error:
            log.warning("cannot remember functions", path=str(self._path), error=str(error))
