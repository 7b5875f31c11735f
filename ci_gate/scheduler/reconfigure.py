"""A new layout takes over between two inputs (scheduler.md 13): what still has a place goes on as it was.

Items keep their time of entry, build set, ref, merge and links; builds of jobs that are still theirs survive, others
are cancelled. What has no place any more leaves without a word; but what Gerrit is being told of stays in its pipeline
until Gerrit has answered: it may be merged, and nothing may be tested or merged as if it were not. Windows and failure
counters start anew.
"""

from __future__ import annotations

from collections.abc import Iterable

from ci_gate.model.layout import Layout
from ci_gate.model.operations import CommandAnswer
from ci_gate.scheduler import building, leaving, priorities, releasing, windows
from ci_gate.scheduler.explain import Code
from ci_gate.scheduler.jobs import jobs_of
from ci_gate.scheduler.state import ChangeQueue, Item, PipelineState, pipelines_of
from ci_gate.scheduler.step import Step


def replace_layout(step: Step, layout: Layout) -> CommandAnswer:
    """First what has no place leaves, as it would under the old layout; then the rest moves; then all is looked at."""
    state = step.state
    former = list(state.pipelines.values())
    before, pipelines = _items_in(former), pipelines_of(layout)
    for old in former:
        new = pipelines.get(old.name)
        for item in [item for queue in old.queues for item in queue.items]:
            if item.inside and item.live and not _has_place(step, item, layout, new):
                _drop(step, item)
    state.layout = layout
    state.last_reconfigured = step.at
    state.pipelines = pipelines
    for old in former:
        new = pipelines.get(old.name)
        if new is None:
            for item in [item for queue in old.queues for item in reversed(queue.items)]:
                leaving.take_out(step, item)  # nobody stands on these any more
        elif new.is_dependent:
            _move_to_shared_queues(step, old, new)
        else:
            _move_queues(old, new)
    moved = [item for each in state.pipelines.values() for queue in each.queues for item in queue.items]
    for place, item in enumerate(moved, start=1):
        item.place = place
    step.agenda.reorder()
    for item in moved:
        _keep_builds(step, item)
        step.touch(item)
    for pipeline in state.pipelines.values():
        for queue in pipeline.queues:
            windows.settle(step, queue)
        priorities.fill(step, pipeline)
    releasing.ask_again(step)
    kept = _items_in(state.pipelines.values())
    return CommandAnswer(done=True, lines=(f"the layout is in force; items kept: {kept}, removed: {before - kept}",))


def _items_in(pipelines: Iterable[PipelineState]) -> int:
    return sum(len(queue.items) + len(queue.departing) for each in pipelines for queue in each.queues)


def _has_place(step: Step, item: Item, layout: Layout, new: PipelineState | None) -> bool:
    project = step.state.subject(item).project
    if new is None or new.pipeline.manager != item.pipeline.pipeline.manager:
        return False
    if new.is_dependent:
        return item.reporting or project in new.by_project
    return layout.tree(project, new.name) is not None


def _drop(step: Step, item: Item) -> None:
    step.decide(item.subject_key, item.pipeline.name, Code.REMOVED)
    if item.reporting:
        step.state.verifying.pop(item.number, None)  # only the delivery of its report is waited for
        if item.pipeline.is_dependent:
            leaving.reset_behind(step, item)  # whether it will be merged is not known
        leaving.take_out(step, item)
    else:
        leaving.withdraw(step, item)


def _move_queues(old: PipelineState, new: PipelineState) -> None:
    for queue in old.queues:
        new.queues_made += 1
        queue.order = new.queues_made
        new.queues.append(queue)
        if queue.line is not None:
            new.by_line[queue.line] = queue
        for item in (*queue.items, *queue.departing):
            _settle_in(item, new, queue)
        queue.active = 0


def _move_to_shared_queues(step: Step, old: PipelineState, new: PipelineState) -> None:
    """A head goes to the queue that its project has now; who stands on others goes where they are.

    Items of one project stay together: where the first of them goes, there go all, on a new base if need be.
    """
    queue_of: dict[str, ChangeQueue] = {}
    for queue in old.queues:
        for item in queue.items:
            project, ahead = step.state.subject(item).project, item.item_ahead
            target = queue_of.get(project) or (ahead.queue if ahead else _queue_now(new, project))
            queue_of[project] = target
            if ahead is not None and ahead.queue is not target:
                item.link(None)
                for each in building.with_all_behind(item):
                    building.reset(step, each)
            target.items.append(item)
            target.by_key[item.subject_key] = item
            _settle_in(item, new, target)
        for item in list(queue.departing):
            target = next(iter(new.queues), queue)
            del queue.departing[item]
            target.departing[item] = None
            _settle_in(item, new, target)
    new.staying = {name: queue for name, queue in queue_of.items() if new.by_project.get(name) is not queue}


def _queue_now(new: PipelineState, project: str) -> ChangeQueue:
    """Of its own, if the project has none any more."""
    return new.by_project.get(project) or new.new_queue(project, new.pipeline.window.size)


def _settle_in(item: Item, new: PipelineState, queue: ChangeQueue) -> None:
    old = item.pipeline
    item.pipeline, item.queue, item.view = new, queue, None
    item.active = False
    if item.live and item.inside:
        new.live[item.subject_key] = item
    for kept, former in ((new.running_low, old.running_low), (new.waiting_low, old.waiting_low)):
        if item in former:
            kept[item] = None


def _keep_builds(step: Step, item: Item) -> None:
    """Builds of jobs that still apply stay; results that are there are applied to the new tree."""
    if item.reporting:
        return
    wanted = {each.name for each in jobs_of(step.state, item)}
    for name in [name for name in item.build_set.builds if name not in wanted]:
        step.decide(item.subject_key, item.pipeline.name, Code.JOB_REMOVED, job=name)
        building.forget_job(step, item, name)
    if item.build_set.not_mergeable:
        building.skip_all(step, item)  # jobs that are new in the layout will not run either
    for build in list(item.build_set.builds.values()):
        building.skip_below(step, item, build)
