"""What the daemon asks of a merger, wherever it works: inside the process or on other hosts."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from ci_gate.model.build import Precedence
from ci_gate.model.merge import MergeAnswer, MergeRequest, UpdateRequest


class Merger(Protocol):
    """Merges and updates answer for everything that the world can do wrong, by an outcome; they do not raise for it."""

    @property
    def deadline_s(self) -> float:
        """After so many seconds an answer is not to be expected any more."""
        ...

    @property
    def trouble(self) -> str:
        """What keeps it from merging, as a full disk does; empty once it has merged again."""
        ...

    async def merge(self, request: MergeRequest, precedence: Precedence = Precedence.NORMAL) -> MergeAnswer:
        """Make and publish a speculative state. Asked again with the same request, it answers the same commit.

        ``request.ahead`` must have been asked for earlier; its answer need not be there yet.
        """
        ...

    async def update(self, request: UpdateRequest, precedence: Precedence = Precedence.NORMAL) -> MergeAnswer:
        """Bring the copy of a project up to date: ``MERGED`` without a commit when it is."""
        ...

    async def contains(self, request: UpdateRequest, branch: str, revision: str) -> bool:
        """Does the branch, as it is upstream now, have this commit? Raises for whatever keeps from looking."""
        ...

    async def has_content(self, request: UpdateRequest, branch: str, commit: str) -> bool:
        """Is what the branch has, file by file, what a state of ours has? As the branch was when it was looked at last.

        False where that cannot be told.
        """
        ...

    async def retain(self, inside: Collection[str]) -> None:
        """Keep the states of these build sets, and no others that left longer ago than ``ref_retention``."""
        ...

    async def keep_house(self) -> None:
        """What can wait until nothing else is to be done; until cancelled."""
        ...

    async def close(self) -> None:
        """End everything under way, processes too."""
        ...
