"""Pictures of the state for everybody outside: status page, reports, operators' functions.

An item's picture is kept until a step touches it, so that a status document costs what has changed.
"""

from __future__ import annotations

from ci_gate.model.change import Change, RefUpdate, Subject
from ci_gate.model.item import BuildView, ItemView, JobView, PipelineView, QueueView
from ci_gate.model.layout import Job
from ci_gate.scheduler.jobs import jobs_of
from ci_gate.scheduler.patterns import report_url
from ci_gate.scheduler.state import Build, ChangeQueue, Item, PipelineState, State


def subject_id(subject: Subject) -> str | None:
    """As status.json names it: ``number,patchset``, a ref's new revision, null for a timer's item."""
    match subject:
        case Change():
            return str(subject.key)
        case RefUpdate():
            return subject.newrev
        case _:
            return None


def item_view(state: State, item: Item) -> ItemView:
    if item.view is None:
        item.view = _draw_item(state, item)
    return item.view


def _draw_item(state: State, item: Item) -> ItemView:
    subject = state.subject(item)
    answer = item.build_set.answer
    return ItemView(
        subject=subject,
        pipeline=item.pipeline.name,
        precedence=item.pipeline.pipeline.precedence,
        queue=item.queue.name,
        enqueued_at=item.enqueued_at,
        live=item.live,
        active=item.active and item not in item.pipeline.waiting_low,
        item_ahead=subject_id(state.subject(item.item_ahead)) if item.item_ahead else None,
        items_behind=tuple(name for each in item.items_behind if (name := subject_id(state.subject(each))) is not None),
        ref=item.build_set.name if isinstance(subject, Change) else None,
        commit=answer.commit if answer else None,
        url=answer.url if answer else None,
        failing_reasons=item.build_set.failing_reasons,
        jobs=tuple(job_view(state, item, job) for job in jobs_of(state, item)),
    )


def job_view(state: State, item: Item, job: Job) -> JobView:
    build = item.build_set.builds.get(job.name)
    if build is None:
        return JobView(job)
    drawn = build_view(build)
    pattern = job.pattern_for(build.result) or state.options.url_pattern
    url, problem = report_url(pattern, state.subject(item), item.pipeline.name, job.name, drawn)
    return JobView(job, drawn, url, problem)


def build_view(build: Build) -> BuildView:
    return BuildView(
        uuid=build.uuid,
        job=build.job,
        result=build.result,
        number=build.number,
        url=build.url,
        parameters=build.parameters,
        launched_at=build.launched_at,
        started_at=build.started_at,
        ended_at=build.ended_at,
        estimate_s=build.estimate_s,
        worker=build.worker,
        node_name=build.node_name,
        node_labels=build.node_labels,
        canceled=build.canceled,
        reason=build.reason,
    )


def pipeline_view(state: State, pipeline: PipelineState) -> PipelineView:
    return PipelineView(
        name=pipeline.name,
        description=pipeline.pipeline.description,
        queues=tuple(_queue_view(state, queue) for queue in pipeline.queues),
    )


def _queue_view(state: State, queue: ChangeQueue) -> QueueView:
    """Each head with those that stand on it, in queue order. Items that only wait for their report come first."""
    heads: list[list[ItemView]] = [[item_view(state, each)] for each in queue.departing]
    chains: dict[Item, list[ItemView]] = {}
    for item in queue.items:
        if item.item_ahead is None:
            chains[item] = []
            heads.append(chains[item])
        else:
            chains[item] = chains[item.item_ahead]
        chains[item].append(item_view(state, item))
    return QueueView(queue.name, queue.window, tuple(tuple(head) for head in heads))
