"""What a step did that is worth counting (scheduler.md 17). Durations are seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EventTaken:
    """An event that may trigger something was taken in: one of Gerrit's, a timer's or one of the service's own."""

    type: str


@dataclass(frozen=True, slots=True)
class ItemEntered:
    pipeline: str


@dataclass(frozen=True, slots=True)
class ItemLeft:
    """``resident_s`` is the time since it entered."""

    pipeline: str
    project: str
    resident_s: float


@dataclass(frozen=True, slots=True)
class BuildFinished:
    """A build that workers were asked for came to its end; ``result`` None: without a result.

    ``waited_s`` is the time from launch to start and ``ran_s`` from then on; None if it never started. ``labels`` are
    the node's, without its name.
    """

    pipeline: str
    job: str
    result: str | None
    waited_s: float | None = None
    ran_s: float | None = None
    labels: tuple[str, ...] = ()


Measure = EventTaken | ItemEntered | ItemLeft | BuildFinished
