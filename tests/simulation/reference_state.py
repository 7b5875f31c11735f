"""What the reference manager remembers, and which jobs an item has (scheduler.md 1 and 9)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from reference_records import Key, Records

from ci_gate.model.layout import DEPENDENT, JobNode, Layout, Pipeline


@dataclass(eq=False)
class Build:
    result: str | None = None


@dataclass(eq=False)
class BuildSet:
    """``merge`` is its number, None before it is asked for; ``answer`` None while it is waited for.

    ``tries`` says how often it was asked for; ``again``: it failed, and is to be asked for as soon as it may be.
    """

    merge: int | None = None
    tries: int = 0
    again: bool = False
    chain: tuple[tuple[Key, int], ...] = ()
    answer: str | None = None
    reasons: tuple[str, ...] = ()
    builds: dict[str, Build] = field(default_factory=dict)
    launches: dict[str, int] = field(default_factory=dict)


@dataclass(eq=False)
class Item:
    """``held``: those behind had to wait for it when it was reported; a reload changes nothing of that any more."""

    key: Key
    live: bool
    ahead: Item | None = None
    behind: list[Item] = field(default_factory=list)
    active: bool = False
    reported: bool = False
    held: bool = False
    passed: bool = False
    builds_of: BuildSet = field(default_factory=BuildSet)


@dataclass(eq=False)
class Queue:
    window: int = 0
    items: list[Item] = field(default_factory=list)


@dataclass(eq=False)
class Lane:
    """A pipeline at work. ``by_project`` are the shared queues of a dependent one."""

    pipeline: Pipeline
    by_project: dict[str, Queue] = field(default_factory=dict)
    queues: list[Queue] = field(default_factory=list)
    failures: int = 0
    disabled: bool = False

    @property
    def dependent(self) -> bool:
        return self.pipeline.manager == DEPENDENT

    def live(self) -> Iterator[Item]:
        return (item for queue in self.queues for item in queue.items if item.live)


class JobRules:
    """Asked afresh each time, of the records as they are."""

    layout: Layout
    records: Records

    def project(self, key: Key) -> str:
        return self.records.by_key[key].details.project

    def tree(self, lane: Lane, item: Item) -> tuple[JobNode, ...]:
        return self.layout.tree(self.project(item.key), lane.pipeline.name) or ()

    def nodes(self, nodes: tuple[JobNode, ...]) -> Iterator[JobNode]:
        for node in nodes:
            yield node
            yield from self.nodes(node.children)

    def jobs(self, lane: Lane, item: Item) -> list[str]:
        def walk(nodes: tuple[JobNode, ...]) -> Iterator[str]:
            for node in nodes:
                if self.applies(node.job, item):
                    yield node.job
                    yield from walk(node.children)

        return list(dict.fromkeys(walk(self.tree(lane, item)))) if item.live else []

    def applies(self, name: str, item: Item) -> bool:
        job, record = self.layout.job(name), self.records.by_key[item.key]
        branch = not job.branches or any(each.match(record.details.branch) for each in job.branches)
        return branch and (not job.files or any(each.match(path) for path in record.files for each in job.files))

    def result(self, item: Item, job: str) -> str | None:
        return item.builds_of.builds[job].result if job in item.builds_of.builds else None

    def is_failed(self, item: Item, job: str) -> bool:
        return self.result(item, job) not in (None, "SUCCESS")

    def holds(self, lane: Lane, item: Item | None) -> bool:
        if item is None or not item.live:
            return False
        if item.reported:
            return item.held
        holding = [job for job in self.jobs(lane, item) if self.layout.job(job).hold_following_changes]
        return any(self.result(item, job) != "SUCCESS" for job in holding) or self.holds(lane, item.ahead)
