"""One look at one item: what can be done for it now? (scheduler.md 7.2, for independent pipelines)."""

from __future__ import annotations

from ci_gate.scheduler import building, entering, reporting
from ci_gate.scheduler.explain import Code
from ci_gate.scheduler.jobs import all_ended, has_failed_job, jobs_of, succeeded
from ci_gate.scheduler.state import Item, MergeState
from ci_gate.scheduler.step import Step


def run_agenda(step: Step) -> None:
    """Look at every item whose situation may have changed, until there is none left."""
    while step.agenda:
        item = next(iter(step.agenda))
        del step.agenda[item]
        if not item.gone and not item.reporting:
            advance(step, item)


def advance(step: Step, item: Item) -> None:
    """Merge, launch, and in the end report. Items without jobs leave without a word."""
    build_set = item.build_set
    if not jobs_of(step.state, item):
        _leave_without_jobs(step, item)
        return
    if build_set.merge_state is MergeState.NEW:
        building.request_merge(step, item)
        item.view = None
    if build_set.merge_state is not MergeState.COMPLETE:
        return
    if not build_set.not_mergeable:
        building.launch_wanted(step, item)
    reasons = building.failing_reasons(build_set, has_failed_job=has_failed_job(step.state, item))
    if reasons != build_set.failing_reasons:
        build_set.failing_reasons, item.view = reasons, None
    if all_ended(step.state, item):
        building.cancel_builds(step, item)  # a refreshed record may have taken away jobs that still run
        reporting.report_end(step, item, succeeded=succeeded(step.state, item))
        _settle(step, item)


def _leave_without_jobs(step: Step, item: Item) -> None:
    step.decide(item.subject_key, item.pipeline.name, Code.NO_JOBS)
    building.cancel_builds(step, item)  # a refreshed record may have taken away jobs that still run
    project = step.state.layout.projects.get(step.state.subject(item).project)
    if step.state.options.report_without_jobs and project and item.pipeline.name in project.trees:
        reporting.report_end(step, item, succeeded=True)
    else:
        item.reporting = True
    _settle(step, item)


def _settle(step: Step, item: Item) -> None:
    """From now on a new event for the same subject makes a new item: this one only waits for its reports."""
    item.view = None
    if item.pipeline.live.get(item.subject_key) is item:
        del item.pipeline.live[item.subject_key]
    leave_if_reported(step, item)


def leave_if_reported(step: Step, item: Item) -> None:
    if item.reporting and not item.open_reports and not item.gone:
        entering.leave(step, item)
