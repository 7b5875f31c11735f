"""How the service itself is doing: what the status page shows beside the pipelines.

The daemon makes one value of this whenever it is asked; ``web/`` only shows it. Times are seconds since the epoch,
names that end in ``_s`` are durations in seconds. Texts are for the operator and hold no secrets.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class ConnectionState(StrEnum):
    """``CONNECTING`` is on the way up or trying again; ``DOWN`` is known to be broken."""

    UP = "up"
    CONNECTING = "connecting"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class ConnectionHealth:
    """One counterpart: ``kind`` is what it is for people (Gerrit stream, Gearman, merger).

    ``since`` is when it came into this state; ``detail`` is the reason of the last failure, or empty.
    """

    name: str
    kind: str
    state: ConnectionState
    since: float | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class CatchUp:
    """How looking for missed events goes on one Gerrit connection (``name``).

    ``at`` is when the last look ended (None: none yet), ``found`` what it found, ``found_total`` what all of this run
    did. ``problem`` is why there is no newer look, or empty.
    """

    name: str
    at: float | None = None
    found: int = 0
    found_total: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class CommandLoad:
    """The commands of one Gerrit connection (``name``), now and in the last minute.

    ``channels`` is how many may be under way, ``most_channels`` how many the settings allow. ``budget`` is for a
    minute (0: none). ``held_back`` is how many had to wait for their turn since the start.
    """

    name: str
    under_way: int = 0
    waiting: int = 0
    channels: int = 0
    most_channels: int = 0
    last_minute: int = 0
    budget: int = 0
    held_back: int = 0


@dataclass(frozen=True, slots=True)
class Wait:
    """One call to the outside that is under way. It ends ``deadline_s`` after ``since`` at the latest."""

    name: str
    owner: str
    since: float
    deadline_s: float


@dataclass(frozen=True, slots=True)
class UndeliveredReport:
    """A report that the other side does not have yet, or never will (``next_try_at`` None).

    ``subject`` is as people write it (``12,3``); ``text`` is the other side's last answer.
    """

    subject: str
    pipeline: str
    connection: str
    since: float
    tries: int
    next_try_at: float | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that went wrong and was survived. ``owner`` is the part of the service it happened to."""

    at: float
    owner: str
    text: str


@dataclass(frozen=True, slots=True)
class CommandAnswer:
    """What an operator's command came to. ``lines`` are for people: what was done, or why nothing was.

    ``valid`` False: it named what does not exist. ``data`` is for machines, ready for JSON.
    """

    done: bool
    lines: tuple[str, ...]
    valid: bool = True
    data: object = None


@dataclass(frozen=True, slots=True)
class BuildStatistics:
    """``waiting`` (launched, not started) and ``running`` are now; the others count since the service started.

    ``lost`` builds ended without a result and were launched again.
    """

    waiting: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Stall:
    """Builds that wait at the job server though at least ``idle_workers`` that offer ``function`` have nothing to do.

    ``builds`` have waited for over a minute, the oldest since ``since``.
    """

    function: str
    builds: int
    since: float
    idle_workers: int


@dataclass(frozen=True, slots=True)
class Operations:
    """Everything at one moment. ``waits`` and ``undelivered`` oldest first, ``troubles`` newest first."""

    started_at: float
    connections: tuple[ConnectionHealth, ...] = ()
    waits: tuple[Wait, ...] = ()
    undelivered: tuple[UndeliveredReport, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    builds: BuildStatistics = field(default_factory=BuildStatistics)
    catch_ups: tuple[CatchUp, ...] = ()
    commands: tuple[CommandLoad, ...] = ()
    stalls: tuple[Stall, ...] = ()
