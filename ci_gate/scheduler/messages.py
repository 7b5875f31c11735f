"""The texts of reports (outputs.md 2). All wording that people see in Gerrit, mail and database is here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ci_gate.model.change import ChangeKey
from ci_gate.model.item import JobView
from ci_gate.model.layout import Pipeline
from ci_gate.model.merge import MergeAnswer, MergeOutcome
from ci_gate.model.options import SchedulerSettings

MOST_PATHS = 20

TECHNICAL_REASONS = {
    MergeOutcome.MISSING_REF: "Gerrit did not offer the change's ref",
    MergeOutcome.MISSING_BRANCH: "the branch that the change is for does not exist",
    MergeOutcome.FETCH: "fetching from Gerrit failed",
    MergeOutcome.INTERNAL: "the merger had a problem of its own",
}


def start_text(pipeline: Pipeline, options: SchedulerSettings) -> str:
    text = f"Starting {pipeline.name} jobs."
    if options.status_url:
        text += f"\n{options.status_url}"
    return _with_footer(text, pipeline)


def success_text(pipeline: Pipeline, jobs: Iterable[JobView], options: SchedulerSettings) -> str:
    return _with_footer(_with_jobs(pipeline.success_message, jobs, options), pipeline)


def failure_text(pipeline: Pipeline, jobs: Iterable[JobView], options: SchedulerSettings) -> str:
    return _with_footer(_with_jobs(pipeline.failure_message, jobs, options), pipeline)


def merge_failure_text(pipeline: Pipeline, paths: Sequence[str] = ()) -> str:
    """With the files that conflict, where the merger names them."""
    text = pipeline.merge_failure_message
    if paths:
        more = len(paths) - MOST_PATHS
        lines = [*(f"- {path}" for path in paths[:MOST_PATHS]), *([f"and {more} more"] if more > 0 else [])]
        text += "\n\nConflicting files:\n" + "\n".join(lines)
    return _with_footer(text, pipeline)


def not_submitted_text(pipeline: Pipeline, reason: str) -> str:
    return _with_footer(f"All tests passed, but this change was not merged.\n\n{reason}", pipeline)


def need_failed_text(pipeline: Pipeline) -> str:
    text = "This change was not tested to the end: a change that it needs has failed or has left the queue."
    return _with_footer(text, pipeline)


def cycle_text(cycle: Iterable[ChangeKey]) -> str:
    numbers = ", ".join(each.number for each in cycle)
    return (
        f"These changes need each other in a circle, so none of them can be tested: {numbers}.\n\n"
        "A new patch set of one of them that leaves out a Depends-On footer, or stands on another parent, breaks it."
    )


def technical_failure_text(pipeline: Pipeline, answer: MergeAnswer) -> str:
    """Not the author's fault, and never to be taken for a conflict."""
    reason = TECHNICAL_REASONS.get(answer.outcome, answer.outcome.value)
    text = (
        f"This change was not tested: {reason}.\n\n"
        "This is a technical problem of the CI system, not of the change. Its operators can find more in their log."
    )
    return _with_footer(text, pipeline)


def _with_jobs(message: str, jobs: Iterable[JobView], options: SchedulerSettings) -> str:
    shown = [each for each in jobs if each.build is not None and each.build.result]
    lines = "".join(job_line(each, options) for each in shown)
    if not lines:
        return message
    known = [(each.job.name, each.build.reason) for each in shown if each.build is not None and each.build.reason]
    reasons = "".join(f"{name}: {' '.join(reason.split())}\n" for name, reason in known)
    return f"{message}\n\n{lines}" + (f"\n{reasons}" if reasons else "")


def job_line(view: JobView, options: SchedulerSettings) -> str:
    """``- [NAME ]URL : RESULT[ in TIME][ (non-voting)]`` and a line end; see gerrit-wire.md 12."""
    job, build = view.job, view.build
    if build is None or build.result is None:
        raise ValueError(f"job {job.name} has no result to report")
    name = f"{job.name} " if options.job_name_in_report else ""
    took = ""
    if options.report_times and build.started_at is not None and build.ended_at is not None:
        took = f" in {duration(build.ended_at - build.started_at)}"
    return f"- {name}{view.report_url} : {printed_result(view)}{took}{'' if job.voting else ' (non-voting)'}\n"


def printed_result(view: JobView) -> str:
    """The job's own words for SUCCESS and FAILURE where it has some; any other result as it is."""
    result = view.build.result if view.build else None
    own = {"SUCCESS": view.job.success_message, "FAILURE": view.job.failure_message}
    return own.get(result or "") or result or ""


def duration(seconds: float) -> str:
    """Whole seconds, cut off: ``5s``, ``2m 05s``, ``1h 02m 03s``."""
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h {minutes:02d}m {rest:02d}s"
    if minutes:
        return f"{minutes}m {rest:02d}s"
    return f"{rest}s"


def _with_footer(text: str, pipeline: Pipeline) -> str:
    return f"{text}\n{pipeline.footer_message}" if pipeline.footer_message else text
