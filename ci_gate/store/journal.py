"""The record of every step. Effects are released only after ``commit`` has returned.

The daemon's loop is the only caller. ``NullJournal`` keeps nothing: with it a restart begins with empty queues.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Journal(Protocol):
    async def commit(self, message: object, effects: Sequence[object]) -> None:
        """Keep one step: its input and its effects. Returns once they would survive a crash."""


class NullJournal:
    async def commit(self, message: object, effects: Sequence[object]) -> None:
        """Keep nothing."""
