"""What operators can ask for (scheduler.md 14). Changes are ``NUMBER,PATCHSET``; names are as the layout has them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Enqueue:
    """Put a change into a pipeline, whatever its filters and requirements say."""

    trigger: str
    pipeline: str
    project: str
    change: str


@dataclass(frozen=True, slots=True)
class EnqueueRef:
    """The same for an update of a ref; revisions are 40 hex digits. ``url`` shows the new one to people."""

    trigger: str
    pipeline: str
    project: str
    ref: str
    oldrev: str
    newrev: str
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Dequeue:
    """Take a change (or the updates of a ref) out of a pipeline, without a report. One of the two is given."""

    pipeline: str
    project: str
    change: str | None = None
    ref: str | None = None


@dataclass(frozen=True, slots=True)
class Promote:
    """Bring changes to the front of their queue, in this order."""

    pipeline: str
    changes: tuple[str, ...]


OperatorCommand = Enqueue | EnqueueRef | Dequeue | Promote
