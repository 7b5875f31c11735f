"""Events against filters, changes against requirements (scheduler.md 4). Every answer has its reason."""

from __future__ import annotations

from collections.abc import Sequence

from ci_gate.model.change import NO_REVISION, Change, Subject, Vote, normal_label
from ci_gate.model.event import Event
from ci_gate.model.layout import EventFilter, Pipeline, Requirements, VoteRequirement
from ci_gate.scheduler.explain import Code, Verdict, failed, passed
from ci_gate.scheduler.readiness import is_submittable

TIMER, ZUUL = "timer", "zuul"
PARENT_ENQUEUED, PROJECT_MERGED = "parent-change-enqueued", "project-change-merged"
INTERNAL_EVENTS = (PARENT_ENQUEUED, PROJECT_MERGED)
FOR_OTHER_EVENTS = {Code.NO_TRIGGER, Code.EVENT_TYPE, Code.OTHER_CONNECTION, Code.TIMER, Code.INTERNAL}


def accept_event(
    pipeline: Pipeline, event: Event, subject: Subject, now: float, *, reject_requires_votes: bool
) -> Verdict:
    """Does any filter of any trigger accept the event? A refusal carries the reason of the last filter asked
    that is for such events, since that is the one an operator wonders about."""
    refusal: Verdict | None = None
    for each in pipeline.triggers:
        if event.type not in each.types:
            continue  # most filters, most of the time
        found = check_event(each, event, subject, now, reject_requires_votes=reject_requires_votes)
        if found.passed:
            return found
        if refusal is None or found.code not in FOR_OTHER_EVENTS:
            refusal = found
    if refusal is not None:
        return refusal
    if not pipeline.triggers:
        return failed(Code.NO_TRIGGER)
    return check_event(pipeline.triggers[-1], event, subject, now, reject_requires_votes=reject_requires_votes)


def check_event(
    wanted: EventFilter, event: Event, subject: Subject, now: float, *, reject_requires_votes: bool
) -> Verdict:
    """One filter, row by row of scheduler.md 4.1."""
    if wanted.trigger == TIMER:
        return failed(Code.TIMER, wanted=wanted.timespecs)
    if wanted.trigger == ZUUL and event.type not in INTERNAL_EVENTS:
        return failed(Code.INTERNAL)
    if event.type not in wanted.types:
        return failed(Code.EVENT_TYPE, event=event.type, wanted=wanted.types)
    if wanted.trigger not in (event.connection, ZUUL):
        return failed(Code.OTHER_CONNECTION, connection=event.connection, wanted=wanted.trigger)
    return (
        _check_pipeline(wanted, event)
        or _check_place(wanted, event)
        or _check_comment(wanted, event)
        or _check_account(wanted, event)
        or _check_event_votes(wanted, event)
        or check_votes(
            wanted.require_approval,
            wanted.reject_approval,
            subject,
            now,
            reject_requires_votes=reject_requires_votes,
        )
        or _accepted(wanted, event)
    )


def _accepted(wanted: EventFilter, event: Event) -> Verdict:
    code = Code.ACCEPTED_FOR_FAILED if wanted.scope else Code.ACCEPTED
    return passed(code, event=event.type, trigger=wanted.trigger)


def _check_pipeline(wanted: EventFilter, event: Event) -> Verdict | None:
    """Of the zuul trigger: which pipeline did the parent enter? An event without one does not match."""
    entered = event.pipeline
    if wanted.pipelines and (entered is None or not any(each.match(entered) for each in wanted.pipelines)):
        return failed(Code.PIPELINE, entered=entered or "none that is told", wanted=wanted.pipelines)
    return None


def _check_place(wanted: EventFilter, event: Event) -> Verdict | None:
    if wanted.branches and event.branch is None:
        return failed(Code.NO_BRANCH, wanted=wanted.branches)
    if wanted.branches and not any(each.match(event.branch or "") for each in wanted.branches):
        return failed(Code.BRANCH, branch=event.branch, wanted=wanted.branches)
    if wanted.refs and event.ref is None:
        return failed(Code.NO_REF, wanted=wanted.refs)
    if wanted.refs and not any(each.match(event.ref or "") for each in wanted.refs):
        return failed(Code.REF, ref=event.ref, wanted=wanted.refs)
    if wanted.ignore_deletes and event.newrev == NO_REVISION:
        return failed(Code.DELETION, ref=event.ref)
    return None


def _check_comment(wanted: EventFilter, event: Event) -> Verdict | None:
    if not wanted.comments:
        return None
    if event.comment is None:
        return failed(Code.NO_COMMENT, wanted=wanted.comments)
    if not any(each.search(event.comment) for each in wanted.comments):
        return failed(Code.COMMENT, wanted=wanted.comments)
    return None


def _check_account(wanted: EventFilter, event: Event) -> Verdict | None:
    """These lists protect the machines: an event without an account does not pass them (layout.md 5.3.1)."""
    if not wanted.emails and not wanted.usernames:
        return None
    account = event.account
    if account is None:
        return failed(Code.NO_ACCOUNT)
    if wanted.emails and not (account.email and any(each.search(account.email) for each in wanted.emails)):
        return failed(Code.EMAIL, email=account.email, wanted=wanted.emails)
    name = account.username
    if wanted.usernames and not (name and any(each.search(name) for each in wanted.usernames)):
        return failed(Code.USERNAME, username=name, wanted=wanted.usernames)
    return None


def _check_event_votes(wanted: EventFilter, event: Event) -> Verdict | None:
    carried = {(normal_label(vote.label), vote.value) for vote in event.votes}
    for label, value in wanted.votes:
        if (normal_label(label), value) not in carried:
            return failed(Code.EVENT_VOTE, label=label, value=value)
    return None


def check_votes(
    require: Sequence[VoteRequirement],
    reject: Sequence[VoteRequirement],
    subject: Subject,
    now: float,
    *,
    reject_requires_votes: bool,
) -> Verdict | None:
    """The votes on the change's record (scheduler.md 4.2). None if nothing stands against it."""
    if not require and not reject:
        return None
    if not isinstance(subject, Change):
        return failed(Code.NOT_A_CHANGE) if require else None
    for each in require:
        if not any(_fits(each, vote, now) for vote in subject.votes):
            return failed(Code.REQUIRED_VOTE, wanted=each)
    if reject_requires_votes and reject and not subject.votes:
        return failed(Code.REJECTED_VOTE, wanted="a change without votes (reject_requires_votes)")
    for each in reject:
        if any(_fits(each, vote, now) for vote in subject.votes):
            return failed(Code.REJECTED_VOTE, wanted=each)
    return None


def _fits(wanted: VoteRequirement, vote: Vote, now: float) -> bool:
    """One single vote must fit all keys. A vote without a label fits nothing."""
    if not vote.label:
        return False
    by = vote.by
    if wanted.username and not wanted.username.search((by and by.username) or ""):
        return False
    if wanted.email and not wanted.email.search((by and by.email) or ""):
        return False
    granted = vote.granted_on or 0.0
    if wanted.newer_than_s is not None and granted < now - wanted.newer_than_s:
        return False
    if wanted.older_than_s is not None and granted >= now - wanted.older_than_s:
        return False
    label = normal_label(vote.label)
    return all(label == normal_label(name) and vote.value in values for name, values in wanted.labels)


def check_requirements(
    pipeline: Pipeline, subject: Subject, now: float, *, reject_requires_votes: bool
) -> Verdict | None:
    """``require`` and ``reject`` of a pipeline at entry (scheduler.md 4.3). None if the subject may enter."""
    require, reject = pipeline.require, pipeline.reject
    if not isinstance(subject, Change):
        return None if require.is_empty else failed(Code.NOT_A_CHANGE)
    return (
        _check_state(require, subject)
        or _check_marks(require, reject, subject)
        or check_votes(require.approval, reject.approval, subject, now, reject_requires_votes=reject_requires_votes)
    )


def _check_state(require: Requirements, change: Change) -> Verdict | None:
    if require.is_open is not None and require.is_open != change.is_open:
        return failed(Code.NOT_OPEN, found=change.is_open, wanted=require.is_open)
    if require.current_patchset is not None and require.current_patchset != change.is_current:
        return failed(Code.NOT_CURRENT, found=change.is_current, wanted=require.current_patchset)
    if require.statuses and change.status not in require.statuses:
        return failed(Code.STATUS, found=change.status, wanted=require.statuses)
    return None


def _check_marks(require: Requirements, reject: Requirements, change: Change) -> Verdict | None:
    """``wip`` and ``private`` (additions.md): ``require`` wants the value given, ``reject`` refuses it."""
    for found, code, required, rejected in (
        (change.wip, Code.WIP, require.wip, reject.wip),
        (change.private, Code.PRIVATE, require.private, reject.private),
        (is_submittable(change), Code.SUBMITTABLE, require.submittable, reject.submittable),
    ):
        if (required is not None and found != required) or (rejected is not None and found == rejected):
            return failed(code, found=found)
    return None
