"""The scheduler's memory: pipelines, queues, items, build sets, builds (scheduler.md 1.2-1.4).

Mutable, and touched by nobody but the scheduler's own modules; the world sees ``model/item.py``'s pictures.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from operator import attrgetter
from typing import TYPE_CHECKING

from ci_gate.model.build import SUCCESS, NumberedBuild, Worker
from ci_gate.model.change import Change, ChangeKey, Subject, SubjectKey
from ci_gate.model.item import ItemView
from ci_gate.model.layout import DEPENDENT, SUPERCEDENT, Job, Layout, Pipeline
from ci_gate.model.merge import MergeAnswer, MergeOutcome
from ci_gate.model.options import SchedulerSettings
from ci_gate.scheduler.chains import EMPTY, Chain
from ci_gate.scheduler.identifiers import Identifiers
from ci_gate.scheduler.records import Records
from ci_gate.scheduler.turns import Turns

if TYPE_CHECKING:
    from ci_gate.scheduler.rerun import Reported


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
    manager: str | None = None
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

    ``name`` is what the merge is known by: for a change the name of its ref, ``Z`` and 32 hex digits. ``chain`` are the
    changes that it stands on and its own, as they were when the merge was asked for.
    """

    name: str | None = None
    chain: Chain = EMPTY
    merge_state: MergeState = MergeState.NEW
    merge_tries: int = 0
    answer: MergeAnswer | None = None
    failing_reasons: tuple[str, ...] = ()
    canceled_in_place: bool = False
    builds: dict[str, Build] = field(default_factory=dict)
    launches: dict[str, int] = field(default_factory=dict)
    reported_to_gerrit: bool = False
    result: str | None = None

    @property
    def ahead(self) -> tuple[Change, ...]:
        """The changes that it stands on, front to back."""
        return self.chain.changes[:-1]

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


@dataclass(frozen=True, slots=True)
class Described:
    """A build set as it was described: ``html`` is all of it, ``results`` the list of its builds."""

    builds: tuple[NumberedBuild, ...]
    html: str
    results: str


@dataclass(slots=True, eq=False)
class Item:
    """A subject in a pipeline. ``number`` counts entries, ``place`` orders the queue.

    ``item_ahead`` is the item on whose merged state this one is tested, not the previous member of the queue.
    ``reporting``: its final report is decided. ``inside``: it is a member of its queue; one that is not may still wait
    for the delivery of its report. ``passes`` is whether it was live and not failing at the last look, ``holds``
    whether the items behind had to wait for a job of it, or of one ahead of it. ``value`` is its priority.
    ``only_failed``: jobs that succeeded in its last report on the same base need not run. ``undelivered`` is why Gerrit
    did not take its report. ``former`` is the last build set of which builds had begun when it made way for another.
    """

    number: int
    subject_key: SubjectKey
    pipeline: PipelineState
    queue: ChangeQueue
    enqueued_at: float
    live: bool = True
    place: int = 0
    active: bool = False
    passes: bool = False
    holds: bool = False
    reporting: bool = False
    inside: bool = True
    value: int = 0
    only_failed: bool = False
    undelivered: str = ""
    item_ahead: Item | None = None
    items_behind: dict[Item, None] = field(default_factory=dict)
    build_set: BuildSet = field(default_factory=BuildSet)
    former: Described | None = None
    open_reports: set[int] = field(default_factory=set)
    view: ItemView | None = None
    jobs: JobsOfItem | None = None

    def chain_ahead(self) -> list[Item]:
        """The items that this one stands on, front to back."""
        chain: list[Item] = []
        ahead = self.item_ahead
        while ahead is not None:
            chain.append(ahead)
            ahead = ahead.item_ahead
        chain.reverse()
        return chain

    def link(self, ahead: Item | None) -> None:
        """Stand on another item from now on."""
        if self.item_ahead is not None:
            self.item_ahead.items_behind.pop(self, None)
            self.item_ahead.view = None
        self.item_ahead, self.view = ahead, None
        if ahead is not None:
            ahead.items_behind[self] = None
            ahead.view = None


@dataclass(frozen=True, slots=True)
class JobsOfItem:
    """The jobs that apply, by what that was found from."""

    subject: Subject
    layout: Layout
    jobs: tuple[Job, ...]


Line = tuple[str, str]
"""A project, and a branch or ref of it."""


@dataclass(slots=True, eq=False)
class ChangeQueue:
    """Items in order of entry; the first ``active`` of them are in the window. ``window`` 0 means unlimited.

    ``departing`` are items that have left, and whose report is not delivered yet. ``line`` is the project, and the
    branch or ref, that a queue of a supercedent pipeline is for.
    """

    name: str
    order: int
    line: Line | None = None
    items: list[Item] = field(default_factory=list)
    by_key: dict[SubjectKey, Item] = field(default_factory=dict)
    departing: dict[Item, None] = field(default_factory=dict)
    window: int = 0
    active: int = 0

    def index(self, item: Item) -> int:
        return bisect_left(self.items, item.place, key=attrgetter("place"))


@dataclass(slots=True, eq=False)
class PipelineState:
    """A pipeline at work. ``live`` finds the live items by subject; ``index`` is its place in the layout.

    ``by_project`` are the shared queues of a dependent pipeline, ``by_line`` those of a supercedent one; independent
    ones make a queue for each item.
    ``staying`` are projects whose items a reload left in another queue: all join them there until they have left, since
    two queues with changes of one project would merge what was never tested together. Of items of a value below 0
    ``running_low`` take up the pipeline's ``limit``, and ``waiting_low`` wait for one of them to leave.
    """

    pipeline: Pipeline
    index: int
    queues: list[ChangeQueue] = field(default_factory=list)
    live: dict[SubjectKey, Item] = field(default_factory=dict)
    by_project: dict[str, ChangeQueue] = field(default_factory=dict)
    by_line: dict[Line, ChangeQueue] = field(default_factory=dict)
    staying: dict[str, ChangeQueue] = field(default_factory=dict)
    running_low: dict[Item, None] = field(default_factory=dict)
    waiting_low: dict[Item, None] = field(default_factory=dict)
    queues_made: int = 0
    consecutive_failures: int = 0
    disabled: bool = False

    @property
    def name(self) -> str:
        return self.pipeline.name

    @property
    def is_dependent(self) -> bool:
        return self.pipeline.manager == DEPENDENT

    @property
    def is_supercedent(self) -> bool:
        return self.pipeline.manager == SUPERCEDENT

    @property
    def looks_at_needs(self) -> bool:
        """Do changes that one needs have to be in front of it? (scheduler.md 5.2 and 5.3)"""
        return self.is_dependent or not (self.is_supercedent or self.pipeline.ignore_dependencies)

    def queue_of(self, project: str) -> ChangeQueue | None:
        """The shared queue that changes of a project enter; None if they may not enter at all."""
        own = self.by_project.get(project)
        return self.staying.get(project, own) if own else None

    def new_queue(self, name: str, window: int = 0) -> ChangeQueue:
        self.queues_made += 1
        queue = ChangeQueue(name, self.queues_made, window=window)
        self.queues.append(queue)
        return queue

    def drop_if_empty(self, queue: ChangeQueue) -> None:
        """Queues of their own end with their last item; shared ones stay."""
        if queue.items or queue.departing or queue in self.by_project.values():
            return
        self.queues.remove(queue)
        if queue.line is not None:
            del self.by_line[queue.line]


def pipelines_of(layout: Layout) -> dict[str, PipelineState]:
    """Every pipeline of a layout, empty, with its shared queues."""
    found = {each.name: PipelineState(each, index) for index, each in enumerate(layout.pipelines)}
    for name, shared in layout.queues.items():
        pipeline = found[name]
        for each in shared:
            queue = pipeline.new_queue(each.display_name, pipeline.pipeline.window.size)
            pipeline.by_project |= dict.fromkeys(each.projects, queue)
    return found


@dataclass(slots=True, eq=False)
class State:
    """All that the scheduler remembers. ``verifying`` are items of which Gerrit is asked whether they were merged.

    ``reported_before`` are the last reports by pipeline, connection and number of the change; ``cycles_told`` are the
    patch sets that know already why they cannot enter.
    """

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
    turns: Turns = field(default_factory=Turns)
    reported_before: OrderedDict[tuple[str, str, str], Reported] = field(default_factory=OrderedDict)
    verifying: dict[int, Item] = field(default_factory=dict)
    cycles_told: dict[ChangeKey, None] = field(default_factory=dict)
    items_entered: int = 0
    last_reconfigured: float | None = None

    def wants(self, event_type: str) -> bool:
        """Does some trigger wait for events of this type?"""
        triggers = (each for pipeline in self.pipelines.values() for each in pipeline.pipeline.triggers)
        return any(event_type in each.types for each in triggers)

    def asks_readiness(self, connection: str) -> bool:
        """Does some pipeline want to know whether Gerrit would submit a change?"""
        pipelines = (each.pipeline for each in self.pipelines.values() if each.pipeline.source == connection)
        return any(
            each.manager == DEPENDENT or each.require.submittable is not None or each.reject.submittable is not None
            for each in pipelines
        )

    def subject(self, item: Item) -> Subject:
        return self.records[item.subject_key]

    def job(self, name: str) -> Job:
        return self.layout.job(name)
