"""The scheduler's memory: pipelines, queues, items, build sets, builds (scheduler.md 1.2-1.4).

Mutable, and touched by nobody but the scheduler's own modules; the world sees ``model/item.py``'s pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ci_gate.model.build import SUCCESS, Worker
from ci_gate.model.change import Subject, SubjectKey
from ci_gate.model.item import ItemView
from ci_gate.model.layout import Job, Layout, Pipeline
from ci_gate.model.merge import MergeAnswer, MergeOutcome
from ci_gate.model.options import SchedulerSettings
from ci_gate.scheduler.identifiers import Identifiers
from ci_gate.scheduler.records import Records


class MergeState(StrEnum):
    NEW = "new"
    PENDING = "pending"
    COMPLETE = "complete"


@dataclass(slots=True, eq=False)
class Build:
    """One launch of a job, or a job that will not run (``uuid`` None: skipped). Times: seconds since the epoch."""

    uuid: str | None
    job: str
    launched_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    estimate_s: float | None = None
    result: str | None = None
    reason: str = ""
    number: int | None = None
    url: str | None = None
    worker: Worker = field(default_factory=Worker)
    node_name: str | None = None
    node_labels: tuple[str, ...] = ()
    parameters: Mapping[str, str | None] = field(default_factory=dict)
    canceled: bool = False

    @property
    def succeeded(self) -> bool:
        return self.result == SUCCESS


@dataclass(slots=True, eq=False)
class BuildSet:
    """One attempt to test one item on one base.

    ``name`` is what the merge is known by: for a change the name of its ref, ``Z`` and 32 hex digits.
    """

    name: str | None = None
    merge_state: MergeState = MergeState.NEW
    merge_tries: int = 0
    merge_requested_at: float | None = None
    answer: MergeAnswer | None = None
    failing_reasons: tuple[str, ...] = ()
    builds: dict[str, Build] = field(default_factory=dict)
    launches: dict[str, int] = field(default_factory=dict)
    result: str | None = None

    @property
    def in_conflict(self) -> bool:
        return self.answer is not None and self.answer.outcome is MergeOutcome.CONFLICT

    @property
    def not_mergeable(self) -> bool:
        """Merged for testing it cannot be: a conflict, or technical reasons that did not pass."""
        return (
            self.merge_state is MergeState.COMPLETE
            and self.answer is not None
            and self.answer.outcome is not MergeOutcome.MERGED
        )


@dataclass(slots=True, eq=False)
class Item:
    """A subject in a pipeline. ``number`` counts entries; ``reporting`` is set once its final report is decided.

    ``item_ahead`` is the item on whose merged state this one is tested, not the previous member of the queue.
    """

    number: int
    subject_key: SubjectKey
    pipeline: PipelineState
    queue: ChangeQueue
    enqueued_at: float
    live: bool = True
    active: bool = True
    reporting: bool = False
    gone: bool = False
    item_ahead: Item | None = None
    items_behind: list[Item] = field(default_factory=list)
    build_set: BuildSet = field(default_factory=BuildSet)
    open_reports: set[int] = field(default_factory=set)
    view: ItemView | None = None

    def chain_ahead(self) -> list[Item]:
        """The items that this one stands on, front to back."""
        chain: list[Item] = []
        ahead = self.item_ahead
        while ahead is not None:
            chain.append(ahead)
            ahead = ahead.item_ahead
        chain.reverse()
        return chain


@dataclass(slots=True, eq=False)
class ChangeQueue:
    """Items in order of entry. ``window`` 0 means unlimited, as in every independent pipeline."""

    name: str
    items: list[Item] = field(default_factory=list)
    window: int = 0


@dataclass(slots=True, eq=False)
class PipelineState:
    """A pipeline at work. ``live`` finds the live items that are not yet being reported, by subject."""

    pipeline: Pipeline
    queues: list[ChangeQueue] = field(default_factory=list)
    live: dict[SubjectKey, Item] = field(default_factory=dict)
    consecutive_failures: int = 0
    disabled: bool = False

    @property
    def name(self) -> str:
        return self.pipeline.name


@dataclass(slots=True, eq=False)
class State:
    """All that the scheduler remembers."""

    layout: Layout
    options: SchedulerSettings
    identifiers: Identifiers
    event_delays: Mapping[str, float]
    pipelines: dict[str, PipelineState] = field(default_factory=dict)
    records: Records = field(default_factory=Records)
    items_by_build_set: dict[str, Item] = field(default_factory=dict)
    builds_by_uuid: dict[str, tuple[Item, Build]] = field(default_factory=dict)
    mutexes: dict[str, tuple[Item, str]] = field(default_factory=dict)
    mutex_waiters: dict[str, dict[Item, None]] = field(default_factory=dict)
    items_entered: int = 0
    last_reconfigured: float | None = None

    def subject(self, item: Item) -> Subject:
        return self.records[item.subject_key]

    def job(self, name: str) -> Job:
        return self.layout.job(name)
