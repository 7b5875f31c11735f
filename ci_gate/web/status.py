"""status.json: the scheduler's view as the document that dashboards and scripts have always read (outputs.md 1).

Pure: no clock, no I/O. Each object comes in two parts: the constants, which hold until the scheduler draws a new
picture, and the times, which move with the clock. ``status_document`` puts them together as values;
``rendering.py`` does so as text, for speed. Units are mixed because the format says so: derived times are whole
milliseconds, raw ones floats in seconds. No key may be renamed or dropped.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ci_gate import __version__
from ci_gate.model.build import Worker
from ci_gate.model.change import Account, Change, Periodic, RefUpdate, Subject
from ci_gate.model.item import BuildView, ItemView, JobView, PipelineView, QueueView, StatusView
from ci_gate.model.operations import Operations

Document = dict[str, Any]

NO_BUILD: Document = dict.fromkeys(
    (
        *("result", "url", "report_url", "estimated_time", "launch_time", "start_time", "end_time", "uuid"),
        *("number", "pipeline", "canceled", "retry", "node_name", "worker"),
    )
)

MOST_LISTED = 100  # of waits, reports and troubles each: the document stays small when something is badly wrong


def status_document(view: StatusView, *, now: float, extra: Mapping[str, Any]) -> Document:
    """The whole document, JSON types only. ``now`` is seconds since the epoch; ``extra`` becomes ``ci_gate``."""
    return top_constants(view, extra) | {"pipelines": [_pipeline(pipeline, now) for pipeline in view.pipelines]}


def operations_document(operations: Operations) -> Document:
    """Our extra key. Lists are cut at ``MOST_LISTED`` entries; ``…_total`` says how many there are."""
    return {
        "started_at": operations.started_at,
        "connections": [asdict(each) for each in operations.connections],
        "catch_ups": [asdict(each) for each in operations.catch_ups],
        "gerrit_commands": [asdict(each) for each in operations.commands],
        "waits": [asdict(each) for each in operations.waits[:MOST_LISTED]],
        "waits_total": len(operations.waits),
        "undelivered_reports": [asdict(each) for each in operations.undelivered[:MOST_LISTED]],
        "undelivered_reports_total": len(operations.undelivered),
        "problems": [asdict(each) for each in operations.troubles[:MOST_LISTED]],
        "problems_total": len(operations.troubles),
        "builds": asdict(operations.builds),
        "stalled_builds": [asdict(each) for each in operations.stalls[:MOST_LISTED]],
        "stalled_builds_total": sum(each.builds for each in operations.stalls),
    }


def top_constants(view: StatusView, extra: Mapping[str, Any]) -> Document:
    """``view.message`` is plain text; the format wants an HTML fragment, so it is escaped."""
    document: Document = {
        "zuul_version": f"ci-gate {__version__}",
        "trigger_event_queue": {"length": view.trigger_queue_length},
        "result_event_queue": {"length": view.result_queue_length},
        "ci_gate": dict(extra),
    }
    if view.last_reconfigured is not None:
        document["last_reconfigured"] = _milliseconds(view.last_reconfigured)
    if view.message:
        document["message"] = html.escape(view.message)
    return document


# --- pipelines and queues ----------------------------------------------------------------------------------------


def _pipeline(pipeline: PipelineView, now: float) -> Document:
    return pipeline_constants(pipeline) | {"change_queues": [_queue(queue, now) for queue in pipeline.queues]}


def pipeline_constants(pipeline: PipelineView) -> Document:
    return {"name": pipeline.name, "description": pipeline.description}


def _queue(queue: QueueView, now: float) -> Document:
    return queue_constants(queue) | {"heads": [head_documents(head, now) for head in queue.heads]}


def queue_constants(queue: QueueView) -> Document:
    return {"name": queue.name, "window": queue.window}


def head_documents(head: tuple[ItemView, ...], now: float) -> list[Document]:
    """The items of one chain, front to back."""
    items: list[Document] = []
    remaining: int | None = None
    for item in head:
        remaining = not_before(remaining, remaining_time(item, now))
        jobs = [_job(job, item.pipeline, now) for job in item.jobs]
        items.append(item_constants(item) | {"remaining_time": remaining, "jobs": jobs})
    return items


def not_before(ahead: int | None, remaining: int | None) -> int | None:
    """No item is expected to end before the one in front of it, as far as both are known. Milliseconds."""
    return remaining if ahead is None or remaining is None else max(ahead, remaining)


# --- items -------------------------------------------------------------------------------------------------------


def item_constants(item: ItemView) -> Document:
    """All but ``remaining_time`` and ``jobs``."""
    subject = item.subject
    return {
        "id": identity(subject),
        "project": subject.project or "Unknown Project",
        "url": None if isinstance(subject, Periodic) else subject.url,
        "owner": _owner(subject.owner) if isinstance(subject, Change) else None,
        "enqueue_time": _milliseconds(item.enqueued_at),
        "active": item.active,
        "live": item.live,
        "item_ahead": item.item_ahead,
        "items_behind": list(item.items_behind),
        "failing_reasons": list(item.failing_reasons),
        "zuul_ref": item.ref,
    }


def remaining_time(item: ItemView, now: float) -> int | None:
    """Of the item alone, in milliseconds; None until every job has started, 0 where no job has an estimate."""
    longest = 0
    for job in item.jobs:
        if job.build is None or job.build.started_at is None:
            return None
        _, remaining = job_times(job.build, now)
        longest = max(longest, remaining or 0)
    return longest


def identity(subject: Subject) -> str | None:
    match subject:
        case Change():
            return str(subject.key)
        case RefUpdate():
            return subject.newrev
        case Periodic():
            return None


def _owner(owner: Account | None) -> Document | None:
    """As Gerrit gave it: what it did not say is not there."""
    if owner is None:
        return None
    said = {"name": owner.name, "email": owner.email, "username": owner.username}
    return {key: value for key, value in said.items() if value is not None}


# --- jobs --------------------------------------------------------------------------------------------------------


def _job(view: JobView, pipeline: str, now: float) -> Document:
    elapsed, remaining = job_times(view.build, now)
    return job_constants(view, pipeline) | {"elapsed_time": elapsed, "remaining_time": remaining}


def job_constants(view: JobView, pipeline: str) -> Document:
    """All but ``elapsed_time`` and ``remaining_time``."""
    document: Document = {"name": view.job.name, "voting": view.job.voting}
    build = view.build
    if build is None:
        return document | NO_BUILD | {"node_labels": []}
    ended = build.result is not None
    return document | {
        "result": build.result,
        "url": build.url,
        "report_url": view.report_url or build.url or view.job.name,
        "estimated_time": None if build.started_at is None else float(build.estimate_s or 0),
        "launch_time": build.launched_at,
        "start_time": build.started_at,
        "end_time": build.ended_at,
        "uuid": build.uuid,
        "number": build.number,
        "pipeline": pipeline,
        "canceled": build.canceled,
        "retry": build.retry,
        "node_name": build.node_name if ended else None,  # only what came with the end counts
        "node_labels": list(build.node_labels) if ended else [],
        "worker": _worker(build.worker),
    }


def job_times(build: BuildView | None, now: float) -> tuple[int | None, int | None]:
    """Elapsed and remaining milliseconds.

    Both are None for what never started (NOT_REGISTERED, noop, SKIPPED), the second also without an estimate.
    """
    if build is None or build.started_at is None:
        return None, None
    if build.ended_at is not None:
        return max(_milliseconds(build.ended_at - build.started_at), 0), 0
    elapsed = max(_milliseconds(now - build.started_at), 0)
    remaining = max(_milliseconds(build.estimate_s) - elapsed, 0) if build.estimate_s else None
    return elapsed, remaining


def _worker(worker: Worker) -> Document:
    return {
        "name": worker.name,
        "hostname": worker.hostname,
        "ips": list(worker.ips),
        "fqdn": worker.fqdn,
        "program": worker.program,
        "version": worker.version,
        "extra": dict(worker.extra),
    }


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
