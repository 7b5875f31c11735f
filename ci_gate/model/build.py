"""Builds as they go out to workers and come back (``spec/gearman-jenkins.md`` 3-4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ci_gate.model.modes import Precedence as Precedence  # noqa: PLC0414  # known from here, where launches are

SUCCESS = "SUCCESS"


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """One launch. ``uuid`` (32 hex digits) is the Gearman unique id, so that a repeat attaches to the running job.

    ``node`` is the value of ``ZUUL_NODE``, which changes the function's name to ``build:JOB:NODE``.
    """

    uuid: str
    job: str
    parameters: Mapping[str, str | None]
    precedence: Precedence = Precedence.NORMAL
    node: str | None = None

    @property
    def function(self) -> str:
        return f"build:{self.job}:{self.node}" if self.node else f"build:{self.job}"


@dataclass(frozen=True, slots=True)
class Worker:
    """Who runs a build, as far as the worker says so."""

    name: str = "Unknown"
    hostname: str | None = None
    ips: tuple[str, ...] = ()
    fqdn: str | None = None
    program: str | None = None
    version: str | None = None
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Begun:
    """As what a worker runs a build: it is stopped by that. ``by_uuid``: its manager knows builds by their uuid too."""

    manager: str
    number: int
    by_uuid: bool = False


@dataclass(frozen=True, slots=True)
class NumberedBuild:
    """A build as the manager of its workers knows it."""

    job: str
    manager: str
    number: int


@dataclass(frozen=True, slots=True)
class BuildUpdate:
    """What a worker said while the build runs; None means: nothing said about it.

    ``started`` is true once a build number is known, and from then on. ``estimate_s`` is the worker's own estimate
    of the whole run time, in seconds. ``started_at`` is in seconds since the epoch; None: when this was heard.
    ``by_uuid``: its manager knows builds by their uuid too, as ours do.
    """

    uuid: str
    started: bool = False
    number: int | None = None
    manager: str | None = None
    url: str | None = None
    worker: Worker | None = None
    node_name: str | None = None
    node_labels: tuple[str, ...] = ()
    estimate_s: float | None = None
    started_at: float | None = None
    by_uuid: bool = False


@dataclass(frozen=True, slots=True)
class BuildEnd:
    """A build ended. ``result`` None means that no result is known: it is launched again.

    ``counted`` is false where such a loss is nobody's try (the job server restarted). ``reason`` is for people.
    ``last`` carries the data that came with the end. ``ended_at`` is in seconds since the epoch; None: when this was
    heard.
    """

    uuid: str
    result: str | None
    counted: bool = True
    reason: str = ""
    last: BuildUpdate | None = None
    ended_at: float | None = None
