"""Which step was the last that a SQLite journal took, in a file beside it: so that a start knows what a disk has lost.

A damaged write-ahead log reads like a shorter one. Whoever went on from there as if nothing was missing would give out
the identifiers of what is missing once more.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

SUFFIX = ".last-step"
DIGITS = 20


class LastStep:
    """``note`` costs microseconds: it waits for no disk, so that the file may lag behind, and is never ahead."""

    def __init__(self, journal: Path) -> None:
        self._path = journal.with_name(journal.name + SUFFIX)
        self._file: int | None = None

    def read(self) -> int:
        """0 if that is not known."""
        try:
            return int(self._path.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return 0

    def note(self, seq: int) -> None:
        """What cannot be written is not worth a halt: the journal itself has the step."""
        with suppress(OSError):
            if self._file is None:
                self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.pwrite(self._file, f"{seq:0{DIGITS}d}\n".encode(), 0)

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
