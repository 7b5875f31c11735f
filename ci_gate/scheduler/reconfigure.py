"""A new layout takes over between two inputs (scheduler.md 13): what still has a place goes on as it was.

For independent pipelines. Items keep their time of entry, build set, ref, merge and links; builds of jobs that are
still theirs survive, others are cancelled. What has no place any more leaves without a word.
"""

from __future__ import annotations

from collections.abc import Iterable

from ci_gate.model.layout import Layout
from ci_gate.model.operations import CommandAnswer
from ci_gate.scheduler import building, entering
from ci_gate.scheduler.explain import Code
from ci_gate.scheduler.jobs import jobs_of
from ci_gate.scheduler.state import Item, PipelineState
from ci_gate.scheduler.step import Step


def replace_layout(step: Step, layout: Layout) -> CommandAnswer:
    """Failure counters start anew, disabled pipelines are enabled; then everything is looked at."""
    state = step.state
    former = list(state.pipelines.values())
    before = _items_in(former)
    state.layout = layout
    state.last_reconfigured = step.at
    state.pipelines = {each.name: PipelineState(each) for each in layout.pipelines}
    for old in former:
        for item in [item for queue in old.queues for item in queue.items]:
            _move(step, old, item)
    kept = _items_in(state.pipelines.values())
    return CommandAnswer(done=True, lines=(f"the layout is in force; items kept: {kept}, removed: {before - kept}",))


def _items_in(pipelines: Iterable[PipelineState]) -> int:
    return sum(len(queue.items) for each in pipelines for queue in each.queues)


def _move(step: Step, old: PipelineState, item: Item) -> None:
    project = step.state.subject(item).project
    new = step.state.pipelines.get(old.name)
    if item.reporting:
        # Its result is decided; only Gerrit's answer is waited for, here or in a pipeline that is gone.
        if new is not None:
            _settle_in(item, old, new)
        return
    if new is None or step.state.layout.tree(project, new.name) is None:
        step.decide(item.subject_key, old.name, Code.REMOVED)
        entering.withdraw(step, item)
        return
    _settle_in(item, old, new)
    _keep_builds(step, item)
    step.touch(item)


def _settle_in(item: Item, old: PipelineState, new: PipelineState) -> None:
    item.pipeline = new
    item.view = None
    if item.queue not in new.queues:
        new.queues.append(item.queue)
    if old.live.get(item.subject_key) is item:
        new.live[item.subject_key] = item


def _keep_builds(step: Step, item: Item) -> None:
    """Builds of jobs that still apply stay; results that are there are applied to the new tree."""
    wanted = {each.name for each in jobs_of(step.state, item)}
    for name in [name for name in item.build_set.builds if name not in wanted]:
        step.decide(item.subject_key, item.pipeline.name, Code.JOB_REMOVED, job=name)
        building.forget_job(step, item, name)
    for build in list(item.build_set.builds.values()):
        building.skip_below(step, item, build)
