"""Where a build can be seen although no job server knows it any more: at the Jenkins that ran it."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol

from ci_gate.model.build import BuildEnd, BuildUpdate


class Absent(Enum):
    """What it means that a build was not found."""

    CERTAIN = auto()  # everyone who may run its job was asked, and would show it
    UNCERTAIN = auto()  # somebody did not answer, or could not tell


class Sighting(Protocol):
    """A build that was found: it waits, runs, or has ended."""

    def follow(self, updated: Callable[[BuildUpdate], None], ended: Callable[[BuildEnd], None]) -> None:
        """Tell what becomes of it until its end, which may have been already. Nothing is told from within this call."""

    def stop(self) -> None:
        """Have it ended, whether it is followed or not. Of its end is told if it is."""


class Elsewhere(Protocol):
    """Used on the loop's thread."""

    def may_know(self, job: str) -> bool:
        """Whether to ask for builds of this job makes sense."""

    async def find(self, uuid: str, job: str) -> Sighting | Absent:
        """Within a bounded time. Never raises but when it is cancelled."""
