"""What can be read of a damaged SQLite journal, as a journal that a start can go on from.

Rows are copied in order as far as the database gives them out; then the copy is shortened until all of it makes sense:
the last good snapshot, and the steps behind it up to the last good one.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from ci_gate.daemon.recovery import JournalDamagedError, recover
from ci_gate.store.journal import Journal
from ci_gate.store.tables import journal as steps
from ci_gate.store.tables import (
    layouts,
    marks,
    past_build_sets,
    past_builds,
    past_items,
    progress,
    shadow_said,
    snapshots,
)

WITH_FILE = ("", "-wal", "-shm")


TABLES = (
    (layouts, "digest"),
    (snapshots, "seq"),
    (steps, "seq"),
    (progress, "name"),
    (marks, "connection"),
    (past_items, "uuid"),
    (past_build_sets, "uuid"),
    (past_builds, "buildset_uuid"),
    (shadow_said, "id"),
)
"""With what their rows are ordered by."""


class NothingToRescueError(Exception):
    """The text is for the operator."""


@dataclass(frozen=True, slots=True)
class Rescued:
    """``step``: the last good one; ``known``: the last that the journal once had, 0 if unknown."""

    step: int
    known: int
    damaged: Path


def rescue(file: Path) -> Rescued:
    """Put what is good in the file's place; the damaged one stays beside it. Nobody may use it meanwhile. Blocks.

    Raises NothingToRescueError, OSError, and what SQLAlchemy raises.
    """
    if not file.is_file():
        raise NothingToRescueError(f"{file} is not there")
    copy = file.with_name(file.name + ".rescued")
    for suffix in WITH_FILE:
        copy.with_name(copy.name + suffix).unlink(missing_ok=True)
    good = Journal(f"sqlite:///{copy}")
    good.open()
    try:
        _copy(file, copy)
        step = _shorten(good, copy)
    finally:
        good.close()
    damaged = file.with_name(f"{file.name}.damaged-{time.time():.0f}")
    known = Journal(f"sqlite:///{file}").known_last()
    for suffix in WITH_FILE:
        left = file.with_name(file.name + suffix)
        if left.exists():
            left.replace(damaged.with_name(damaged.name + suffix))
    copy.replace(file)
    return Rescued(step, known, damaged)


def _copy(damaged: Path, copy: Path) -> None:
    only_read = f"file:{quote(str(damaged))}?mode=ro"
    with closing(sqlite3.connect(only_read, uri=True)) as source, closing(sqlite3.connect(copy)) as target:
        for table, key in TABLES:
            names = [f'"{each.name}"' for each in table.columns]
            places = ", ".join("?" for _ in names)
            target.executemany(
                f"INSERT OR IGNORE INTO {table.name} ({', '.join(names)}) VALUES ({places})",  # noqa: S608  # names of ours
                _rows(source, table.name, key, names),
            )
            target.commit()


def _rows(source: sqlite3.Connection, table: str, key: str, names: list[str]) -> Iterator[tuple[object, ...]]:
    """From the front as far as it goes, then from the end."""
    for order in ("ASC", "DESC"):
        try:
            yield from source.execute(f"SELECT {', '.join(names)} FROM {table} ORDER BY {key} {order}")  # noqa: S608  # as above
        except sqlite3.DatabaseError:
            continue
        return


def _shorten(good: Journal, copy: Path) -> int:
    """The step that a start will go on from."""
    while True:
        try:
            standing = recover(good)
        except JournalDamagedError as problem:
            if problem.step is None:
                raise
            good.forget_snapshot(problem.step) if problem.of_snapshot else good.forget_from(problem.step)
            continue
        if standing is None:
            damaged = copy.name.removesuffix(".rescued")
            raise NothingToRescueError(f"no snapshot can be read; move {damaged}* out of the way to begin anew")
        return standing.seq
