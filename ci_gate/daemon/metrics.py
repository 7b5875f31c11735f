"""What the scheduler did, under the names that dashboards know from Zuul 2 (scheduler.md 17).

Only there if ``STATSD_HOST`` is set. What is counted are the scheduler's measures; this has the names.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from ci_gate.model.item import PipelineView
from ci_gate.model.measures import BuildFinished, EventTaken, ItemEntered, ItemLeft, Measure
from ci_gate.model.operations import Stall
from ci_gate.statsd import StatsdLines, part_of_name

TIMED = ("SUCCESS", "FAILURE")


class Metrics:
    """Used on the loop's thread only. Keeps the number of items in each pipeline, for the gauges."""

    def __init__(self, lines: StatsdLines) -> None:
        self._lines = lines
        self._items: dict[str, int] = {}

    def loaded(self, pipelines: Iterable[PipelineView]) -> None:
        """A layout is in force: these are its pipelines, with all that is in them."""
        counted = {each.name: sum(len(head) for queue in each.queues for head in queue.heads) for each in pipelines}
        gone = dict.fromkeys(self._items, 0)
        for name, number in (gone | counted).items():
            self._set_items(name, number)
        self._items = counted

    def count(self, measures: Iterable[Measure]) -> None:
        changed: set[str] = set()
        for each in measures:
            match each:
                case EventTaken():
                    self._lines.incr(f"gerrit.event.{part_of_name(each.type)}")
                case ItemEntered():
                    self._add(each.pipeline, 1, changed)
                case ItemLeft():
                    self._add(each.pipeline, -1, changed)
                    self._left(each)
                case BuildFinished():
                    self._finished(each)
                case _:
                    assert_never(each)
        for name in sorted(changed):
            self._set_items(name, self._items[name])

    def stalled(self, stalls: Iterable[Stall]) -> None:
        """Builds wait at the job server though workers are idle."""
        self._lines.gauge("zuul.gearman.stalled_builds", sum(each.builds for each in stalls))

    def _add(self, pipeline: str, number: int, changed: set[str]) -> None:
        """Nothing for a pipeline that a reload has taken away: its last items may leave later."""
        if pipeline in self._items:
            self._items[pipeline] = max(0, self._items[pipeline] + number)
            changed.add(pipeline)

    def _set_items(self, pipeline: str, number: int) -> None:
        self._lines.gauge(f"{_pipeline(pipeline)}.current_changes", number)

    def _left(self, item: ItemLeft) -> None:
        pipeline = _pipeline(item.pipeline)
        for name in (pipeline, f"{pipeline}.{part_of_name(item.project.replace('/', '.'))}"):
            self._lines.timing(f"{name}.resident_time", _milliseconds(item.resident_s))
            self._lines.incr(f"{name}.total_changes")

    def _finished(self, build: BuildFinished) -> None:
        pipeline = _pipeline(build.pipeline)
        job = f"{pipeline}.job.{part_of_name(build.job.replace('.', '_'))}"
        self._lines.incr(f"{pipeline}.all_jobs")
        result = f"{job}.{part_of_name(str(build.result))}"
        if build.ran_s is not None and build.result in TIMED:
            self._lines.timing(result, _milliseconds(build.ran_s))
        self._lines.incr(result)
        if build.waited_s is not None:
            waited = _milliseconds(build.waited_s)
            self._lines.timing(f"{job}.wait_time", waited)
            for label in build.labels:
                self._lines.timing(f"{pipeline}.label.{part_of_name(label)}.wait_time", waited)


def _pipeline(name: str) -> str:
    return f"zuul.pipeline.{part_of_name(name)}"


def _milliseconds(seconds: float) -> int:
    return max(0, int(seconds * 1000))
