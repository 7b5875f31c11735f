"""Which reporters speak, what they say, and seeing to it that it arrives (scheduler.md 11).

Reports on one change leave in order, one at a time, so that a start report that had to be repeated never overwrites
the vote that follows it. Reporters are isolated: each is retried on its own. An item stays until Gerrit has its
report; mails and records for databases are sent in the background (outputs.md 3 and 4).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from ci_gate.model.change import Change, ChangeKey, Subject, normal_label
from ci_gate.model.layout import GerritReporter, Reporter, SmtpReporter, SqlReporter
from ci_gate.model.report import Delivery, DeliveryOutcome, Mail, Report, ResultRecord, Review
from ci_gate.scheduler import messages, past, rerun
from ci_gate.scheduler.backoff import backoff
from ci_gate.scheduler.descriptions import describe_builds
from ci_gate.scheduler.effects import SendReport, SetTimer
from ci_gate.scheduler.explain import Code
from ci_gate.scheduler.outbound import MOST_RECORDS_WAITING, Lane, Outgoing
from ci_gate.scheduler.patterns import PatternError, change_fields, expand
from ci_gate.scheduler.recording import result_record
from ci_gate.scheduler.state import Item, PipelineState
from ci_gate.scheduler.step import Step
from ci_gate.scheduler.views import item_view

FIRST_REPEAT_S = 2.0
LONGEST_REPEAT_S = 60.0
TRANSIENT_REPEATS = 5
MAIL_REPEATS = 3
MOST_CYCLES_REMEMBERED = 10_000


def report_start(step: Step, item: Item) -> None:
    pipeline = item.pipeline
    if not pipeline.disabled and item.live:
        text = messages.start_text(pipeline.pipeline, step.state.options)
        _send_all(step, item, pipeline.pipeline.start, text, is_start=True)


def report_end(step: Step, item: Item, *, succeeded: bool) -> None:
    """Choose the reporters of the final report and send it (scheduler.md 11.1). The item waits for its arrival."""
    _report(step, item, _choose(step, item, succeeded=succeeded))


def report_need_failed(step: Step, item: Item) -> None:
    """Something that it needs can no longer be provided: a failure with a text of its own (layout.md 5.7)."""
    pipeline = item.pipeline.pipeline
    item.view = None  # its jobs are skipped since it was drawn
    _report(step, item, _Final("FAILURE", messages.need_failed_text(pipeline), pipeline.failure))


def report_not_submitted(step: Step, item: Item, reason: str) -> None:
    """The author has read that all went well, and needs to know why it is not merged (scheduler.md 11.3).

    Where submit records decide nobody is let in that Gerrit would refuse; there, as before, nothing is said.
    """
    change = step.state.subject(item)
    if not isinstance(change, Change) or change.records_decide or item.pipeline.disabled:
        return
    text = messages.not_submitted_text(item.pipeline.pipeline, reason)
    reporters = [each for each in item.pipeline.pipeline.success if isinstance(each, GerritReporter)]
    _send_all(step, item, [replace(each, labels=(), flags=()) for each in reporters], text)


def report_cycle(step: Step, change: Change, cycle: Sequence[ChangeKey]) -> None:
    """Tell a change that it can never enter, once a patch set, if operators want that (scheduler.md 3.3)."""
    if not step.state.options.report_cycles or change.key in step.state.cycles_told:
        return
    step.state.cycles_told[change.key] = None
    if len(step.state.cycles_told) > MOST_CYCLES_REMEMBERED:
        del step.state.cycles_told[next(iter(step.state.cycles_told))]
    key, text = change.key, messages.cycle_text(cycle)
    review = Review(key.connection, change.project, key.number, key.patchset, text)
    number, lane = step.outbound.created + 1, (key.connection, key.number)
    _put_in_lane(step, Outgoing(number, lane, review, key, None, None, is_start=False, created_at=step.at))


@dataclass(frozen=True, slots=True)
class _Final:
    """What a final report is to be. ``summary`` is the text without job lines, where that is another."""

    result: str
    text: str
    reporters: Sequence[Reporter]
    summary: str | None = None
    votes: bool = True


def _report(step: Step, item: Item, final: _Final) -> None:
    pipeline, reporters = item.pipeline, final.reporters
    item.reporting = True
    item.build_set.result = final.result
    rerun.remember(step, item)
    if pipeline.disabled:
        reporters = pipeline.pipeline.disabled
    item.build_set.reported_to_gerrit = any(isinstance(each, GerritReporter) for each in reporters)
    code = Code.REPORTED if reporters else Code.SILENT
    step.decide(item.subject_key, pipeline.name, code, result=final.result)
    _note_broken_patterns(step, item)
    past.note_reported(step, item, final.text if final.summary is None else final.summary, reporters)
    _send_all(step, item, reporters, final.text, summary=final.summary, votes=final.votes)
    describe_builds(step, item)
    _count(step, pipeline, final.result)


def _note_broken_patterns(step: Step, item: Item) -> None:
    """Of builds that ran: what others lack is no fault of the pattern."""
    for each in item_view(step.state, item).jobs:
        if each.pattern_problem and each.build is not None and each.build.started_at is not None:
            name, reason = each.job.name, each.pattern_problem
            step.decide(item.subject_key, item.pipeline.name, Code.PATTERN_FAILED, job=name, reason=reason)


def _choose(step: Step, item: Item, *, succeeded: bool) -> _Final:
    pipeline, options, build_set = item.pipeline.pipeline, step.state.options, item.build_set
    jobs = item_view(step.state, item).jobs
    if succeeded:
        text, summary = (messages.success_text(pipeline, shown, options) for shown in (jobs, ()))
        return _Final("SUCCESS", text, pipeline.success, summary)
    unmerged = pipeline.merge_failure or pipeline.failure
    if build_set.in_conflict:
        paths = build_set.answer.paths if build_set.answer else ()
        return _Final("MERGER_FAILURE", messages.merge_failure_text(pipeline, paths), unmerged)
    if build_set.not_mergeable and build_set.answer is not None:
        text = messages.technical_failure_text(pipeline, build_set.answer)
        return _Final("ERROR", text, unmerged, votes=False)
    text, summary = (messages.failure_text(pipeline, shown, options) for shown in (jobs, ()))
    return _Final("FAILURE", text, pipeline.failure, summary)


def _count(step: Step, pipeline: PipelineState, result: str) -> None:
    """Consecutive failures disable a pipeline from its next report on."""
    if result == "SUCCESS":
        pipeline.consecutive_failures = 0
    elif result == "FAILURE":
        pipeline.consecutive_failures += 1
    limit = pipeline.pipeline.disable_after
    if limit is not None and pipeline.consecutive_failures >= limit and not pipeline.disabled:
        pipeline.disabled = True
        step.decide(pipeline.name, pipeline.name, Code.PIPELINE_DISABLED, failures=pipeline.consecutive_failures)


def _send_all(
    step: Step,
    item: Item,
    reporters: Sequence[Reporter],
    text: str,
    *,
    summary: str | None = None,
    votes: bool = True,
    is_start: bool = False,
) -> None:
    """Gerrit first: people wait for it."""
    for reporter in sorted(reporters, key=lambda each: not isinstance(each, GerritReporter)):
        if isinstance(reporter, SqlReporter):
            said = text if summary is None else summary
            report: Report | None = result_record(reporter, item_view(step.state, item), said)
        else:
            report = _compose(reporter, step.state.subject(item), text, votes=votes)
        if report is not None:
            _enqueue(step, item, report, is_start=is_start)
        else:
            step.decide(item.subject_key, item.pipeline.name, Code.NOT_REVIEWED)


def _compose(reporter: GerritReporter | SmtpReporter, subject: Subject, text: str, *, votes: bool) -> Report | None:
    """None where this reporter has nothing to say: Gerrit about what is not a change."""
    match reporter:
        case GerritReporter() if isinstance(subject, Change):
            return Review(
                reporter.connection,
                subject.project,
                subject.number,
                subject.patchset,
                text,
                labels=_labels(reporter, subject) if votes else (),
                flags=reporter.flags if votes else (),
                options=reporter.options,
            )
        case GerritReporter():
            return None
        case SmtpReporter():
            subject_line = _mail_subject(reporter.subject, subject)
            return Mail(reporter.connection, subject_line, text, to=reporter.to, sender=reporter.sender)
        case _:
            assert_never(reporter)


def _labels(reporter: GerritReporter, change: Change) -> tuple[tuple[str, int], ...]:
    """In Gerrit's own spelling where it is known, else as the layout has them (gerrit-wire.md 6.1)."""
    spelled = {normal_label(name): name for name in change.label_names}
    return tuple((spelled.get(normal_label(name), name), value) for name, value in reporter.labels)


def _mail_subject(pattern: str | None, subject: Subject) -> str:
    fields = change_fields(subject)
    try:
        return expand(pattern or "Report for change {change}", change=fields)
    except PatternError:
        return f"Report for change {fields}"


def _enqueue(step: Step, item: Item, report: Report, *, is_start: bool) -> None:
    number, lane = step.outbound.created + 1, _lane(report, item)
    outgoing = Outgoing(number, lane, report, item.subject_key, item.pipeline.name, item, is_start, step.at)
    if isinstance(report, ResultRecord) and len(step.outbound.lanes.get(lane, ())) >= MOST_RECORDS_WAITING:
        outgoing.last_answer = f"{MOST_RECORDS_WAITING} records wait for this database already"
        _give_up(step, outgoing)
        return
    if not is_start and isinstance(report, Review):
        item.open_reports.add(number)
    _put_in_lane(step, outgoing)


def _put_in_lane(step: Step, outgoing: Outgoing) -> None:
    outbound = step.outbound
    outbound.created = outgoing.number
    outbound.by_number[outgoing.number] = outgoing
    outbound.lanes.setdefault(outgoing.lane, deque()).append(outgoing)
    _send_next(step, outgoing.lane)


def _lane(report: Report, item: Item) -> Lane:
    match report:
        case Review():
            return report.connection, report.number
        case Mail():
            return report.connection, f"mail {item.number}"
        case ResultRecord():
            return report.connection, ""
        case _:
            assert_never(report)


def _send_next(step: Step, lane: Lane) -> None:
    waiting = step.outbound.lanes[lane]
    if not waiting:
        del step.outbound.lanes[lane]
    elif not waiting[0].under_way and not waiting[0].tries:
        _send(step, waiting[0])


def _send(step: Step, outgoing: Outgoing) -> None:
    outgoing.under_way = True
    outgoing.tries += 1
    step.emit(SendReport(outgoing.number, outgoing.report, outgoing.first_tried_at))
    outgoing.first_tried_at = outgoing.first_tried_at or step.at


def report_answered(step: Step, number: int, delivery: Delivery) -> Item | None:
    """A try has ended; the item of a report that is settled may leave. Nothing is given up silently."""
    outgoing = step.outbound.by_number.get(number)
    if outgoing is None or not outgoing.under_way:
        step.decide(number, None, Code.UNKNOWN_ANSWER, what="a report")
        return None
    outgoing.under_way = False
    outgoing.next_try_at = None
    outgoing.last_answer = delivery.text
    if delivery.outcome is DeliveryOutcome.TRANSIENT:
        outgoing.refusals += 1
    if _worth_repeating(outgoing, delivery.outcome):
        delay = backoff(FIRST_REPEAT_S, LONGEST_REPEAT_S, outgoing.tries)
        outgoing.next_try_at = step.at + delay
        step.emit(SetTimer(f"report:{number}", outgoing.next_try_at))
        _decide(step, outgoing, Code.REPORT_REPEATED, seconds=delay, reason=delivery.text)
        return None
    if delivery.outcome is not DeliveryOutcome.DELIVERED:
        if outgoing.item is not None and not outgoing.is_start and isinstance(outgoing.report, Review):
            outgoing.item.undelivered = delivery.text or "Gerrit did not take the report"
        _give_up(step, outgoing)
    _drop(step, outgoing)
    return outgoing.item


def _give_up(step: Step, outgoing: Outgoing) -> None:
    step.outbound.given_up.append(outgoing.picture())
    _decide(step, outgoing, Code.REPORT_GIVEN_UP, reason=outgoing.last_answer)


def _worth_repeating(outgoing: Outgoing, outcome: DeliveryOutcome) -> bool:
    if outcome in (DeliveryOutcome.DELIVERED, DeliveryOutcome.REFUSED):
        return False
    if isinstance(outgoing.report, Mail):
        return outgoing.tries <= MAIL_REPEATS
    return outcome is DeliveryOutcome.UNREACHABLE or outgoing.refusals <= TRANSIENT_REPEATS


def send_again(step: Step, number: int) -> None:
    """The timer after a failed try has fired."""
    outgoing = step.outbound.by_number.get(number)
    if outgoing is not None and not outgoing.under_way:
        _send(step, outgoing)


def forget_start_report(step: Step, item: Item) -> None:
    """The item was withdrawn: a start report that is not under way would only confuse."""
    for outgoing in [each for each in step.outbound.by_number.values() if each.item is item]:
        if outgoing.is_start and not outgoing.under_way:
            _drop(step, outgoing)


def _drop(step: Step, outgoing: Outgoing) -> None:
    del step.outbound.by_number[outgoing.number]
    if outgoing.item is not None:
        outgoing.item.open_reports.discard(outgoing.number)
    step.outbound.lanes[outgoing.lane].remove(outgoing)
    _send_next(step, outgoing.lane)


def _decide(step: Step, outgoing: Outgoing, code: Code, **values: object) -> None:
    step.decide(outgoing.subject, outgoing.pipeline, code, **values)
