"""A report as a results database keeps it (outputs.md 4)."""

from __future__ import annotations

from ci_gate.model.change import Change, RefUpdate
from ci_gate.model.item import ItemView, JobView
from ci_gate.model.layout import SqlReporter
from ci_gate.model.report import BuildRecord, ResultRecord
from ci_gate.scheduler.messages import printed_result


def result_record(reporter: SqlReporter, view: ItemView, message: str) -> ResultRecord:
    """``message`` is the report's text without job lines."""
    subject, change, patchset, ref = view.subject, None, None, None
    if isinstance(subject, Change):
        change, patchset, ref = subject.number, subject.patchset, subject.refspec
    elif isinstance(subject, RefUpdate):
        ref = subject.ref
    return ResultRecord(
        reporter.connection,
        pipeline=view.pipeline,
        project=subject.project,
        message=message,
        score=reporter.score,
        zuul_ref=view.ref,
        change=change,
        patchset=patchset,
        ref=ref,
        builds=tuple(_build_record(each) for each in view.jobs if each.build is not None and each.build.result),
    )


def _build_record(view: JobView) -> BuildRecord:
    job, build = view.job, view.build
    if build is None:
        raise ValueError(f"job {job.name} has no build to record")
    ran = build.started_at is not None
    return BuildRecord(
        build.uuid,
        job.name,
        printed_result(view),
        voting=job.voting,
        log_url=view.report_url or "",
        started_at=build.started_at if ran else None,
        ended_at=build.ended_at if ran else None,
        node_name=build.node_name,
    )
