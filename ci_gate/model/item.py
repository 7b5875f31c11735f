"""Read-only pictures of items and their builds: what status pages, reports and operators' functions see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ci_gate.model.build import Worker
from ci_gate.model.change import Subject
from ci_gate.model.layout import Job
from ci_gate.model.modes import Precedence


@dataclass(frozen=True, slots=True)
class BuildView:
    """One build. Times are seconds since the epoch, None while they have not come; ``estimate_s`` is seconds.

    ``uuid`` is None for a job that was skipped: nothing was ever launched.
    """

    uuid: str | None
    job: str
    result: str | None = None
    number: int | None = None
    url: str | None = None
    parameters: Mapping[str, str | None] = field(default_factory=dict)
    launched_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    estimate_s: float | None = None
    worker: Worker = field(default_factory=Worker)
    node_name: str | None = None
    node_labels: tuple[str, ...] = ()
    canceled: bool = False
    retry: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class JobView:
    """A job that applies to an item, with its build if there is one.

    ``report_url`` is what reports link to; ``pattern_problem`` is why its pattern could not be used, or empty.
    """

    job: Job
    build: BuildView | None = None
    report_url: str | None = None
    pattern_problem: str = ""


@dataclass(frozen=True, slots=True)
class ItemView:
    """One item.

    ``item_ahead`` and ``items_behind`` are ids as in status.json; ``enqueued_at`` is seconds since the epoch;
    ``ref`` is the build set's name (``Z…``) or None.
    """

    subject: Subject
    pipeline: str
    precedence: Precedence
    queue: str
    enqueued_at: float
    live: bool = True
    active: bool = True
    item_ahead: str | None = None
    items_behind: tuple[str, ...] = ()
    ref: str | None = None
    commit: str | None = None
    url: str | None = None
    failing_reasons: tuple[str, ...] = ()
    jobs: tuple[JobView, ...] = ()


@dataclass(frozen=True, slots=True)
class QueueView:
    """A change queue: ``heads`` are chains of items in queue order; ``window`` 0 means unlimited."""

    name: str
    window: int
    heads: tuple[tuple[ItemView, ...], ...]


@dataclass(frozen=True, slots=True)
class PipelineView:
    name: str
    description: str | None
    queues: tuple[QueueView, ...]


@dataclass(frozen=True, slots=True)
class StatusView:
    """Everything that status.json shows of the scheduler. Times are seconds since the epoch."""

    pipelines: tuple[PipelineView, ...]
    last_reconfigured: float | None = None
    trigger_queue_length: int = 0
    result_queue_length: int = 0
    message: str | None = None
