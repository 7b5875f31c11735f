"""What the launcher's books are made of: one build, what is wanted done, and how many builds there are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ci_gate.gearman import answers
from ci_gate.gearman.client import Submission
from ci_gate.model.build import BuildEnd, BuildRequest, BuildUpdate


@dataclass(frozen=True, slots=True)
class Doer:
    """What the books want done. Nothing of it blocks."""

    wake_sender: Callable[[], None]
    wake_resolver: Callable[[], None]
    withdraw: Callable[[str, bytes], None]  # unique, handle: ``cancel job``, answered by Builds.withdrawn
    forget: Callable[[bytes], None]  # handle: nothing more about it is of interest
    updated: Callable[[BuildUpdate], object]
    ended: Callable[[BuildEnd], object]


@dataclass(frozen=True, slots=True)
class Counts:
    """Builds that were not sent, wait in the server, run, or were in the server when its connection was lost."""

    waiting: int = 0
    queued: int = 0
    running: int = 0
    unknown: int = 0


@dataclass(slots=True)
class Build:
    """``handle`` is the one on the present connection; ``sent``: some server has it, or may have had it.

    ``runs``: a worker has it, by the server's word or its own. ``stopped_as``: the manager and number that a stop was
    last asked for with. ``by_uuid``: the manager knows the build by its uuid too.
    """

    request: BuildRequest
    submission: Submission
    sent: bool = False
    was_sent: bool = False  # before the present try
    handle: bytes | None = None
    number: int | None = None
    manager: str | None = None
    by_uuid: bool = False
    stopped_as: tuple[str, int | None] | None = None
    data: answers.Data = field(default_factory=dict)
    cancelled: bool = False
    runs: bool = False
    queued_at: float = 0.0  # 0: no server has taken it yet
    heard_at: float = 0.0
    doubted_at: float | None = None
    timer: asyncio.TimerHandle | None = None

    @property
    def unique(self) -> str:
        return self.submission.unique

    @property
    def started(self) -> bool:
        return self.number is not None

    @property
    def can_be_stopped(self) -> bool:
        """Its manager would know which one is meant."""
        return self.manager is not None and (self.started or self.by_uuid)


def counts_of(builds: Iterable[Build], elsewhere: int) -> Counts:
    """``elsewhere``: so many more run without a job server."""
    waiting, queued, running, unknown = 0, 0, elsewhere, 0
    for each in builds:
        if each.handle is not None:
            running, queued = running + each.started, queued + (not each.started)
        elif each.sent:
            unknown += 1
        else:
            waiting += 1
    return Counts(waiting, queued, running, unknown)


@dataclass(frozen=True, slots=True)
class LauncherState:
    """For the status page. ``since`` is in seconds since the epoch, ``detail`` says in words how things are."""

    server: str
    connected: bool
    since: float
    detail: str
    counts: Counts = field(default_factory=Counts)
