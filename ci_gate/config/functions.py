"""Operators' own functions: called before each launch (``spec/layout.md`` 6.10).

The functions get objects with the attribute names that they have always had, made over our own values.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace

from ci_gate.config.layout.includes import Function, Functions, error_text
from ci_gate.model.change import Account, Change, RefUpdate, Subject, Vote
from ci_gate.model.item import ItemView
from ci_gate.model.layout import Job

OLD_STYLE_ARGUMENTS = 2


@dataclass(frozen=True, slots=True)
class Called:
    """The parameters as the function left them; what it raised, as kind and text, and its traceback."""

    parameters: dict[str, object]
    error: str | None = None
    traceback: str = ""


def call_function(
    functions: Functions, name: str, item: ItemView, job: Job, parameters: Mapping[str, object]
) -> Called:
    """Call ``name(item, job, params)``, or ``name(item, params)`` if it takes exactly two. Never raises."""
    params = dict(parameters)
    try:
        function = functions.by_name[name]
        if _takes_two(function):
            function(item_object(item, params), params)
        else:
            function(item_object(item, params), job_object(job), params)
    except (Exception, SystemExit) as problem:  # noqa: BLE001  # operators' code may raise whatever it likes
        return Called(dict(parameters), error_text(problem), traceback.format_exc())
    return Called(params)


def _takes_two(function: Function) -> bool:
    try:
        arguments = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    positional = [each for each in arguments if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    any_number = any(each.kind is each.VAR_POSITIONAL for each in arguments)
    return len(positional) == OLD_STYLE_ARGUMENTS and not any_number


class Named(SimpleNamespace):
    """An object of attributes; prints as what it is."""

    def __str__(self) -> str:
        return str(self.__dict__.get("text", self.__dict__.get("name", "")))


def item_object(item: ItemView, params: Mapping[str, object]) -> Named:
    change = subject_object(item.subject)
    return Named(
        text=str(change),
        change=change,
        pipeline=Named(name=item.pipeline, precedence=item.precedence.value),
        queue=Named(name=item.queue),
        item_ahead=_neighbour(item.item_ahead) if item.item_ahead is not None else None,
        items_behind=[_neighbour(each) for each in item.items_behind],
        enqueue_time=item.enqueued_at,
        live=item.live,
        active=item.active,
        current_build_set=Named(ref=item.ref, commit=item.commit, zuul_url=params.get("ZUUL_URL")),
    )


def job_object(job: Job) -> Named:
    return Named(
        name=job.name,
        tags=set(job.tags),
        voting=job.voting,
        mutex=job.mutex,
        queue_name=job.queue_name,
        success_message=job.success_message,
        failure_message=job.failure_message,
        success_pattern=job.success_pattern,
        failure_pattern=job.failure_pattern,
        hold_following_changes=job.hold_following_changes,
        attempts=job.attempts,
    )


def subject_object(subject: Subject) -> Named:
    """A change, a ref update or a periodic subject. What one does not have is absent: functions ask ``hasattr``."""
    project = Named(name=subject.project)
    match subject:
        case Change():
            return _change_object(subject, project)
        case RefUpdate():
            return Named(
                text=f"{subject.ref}@{subject.newrev[:8]}",
                project=project,
                ref=subject.ref,
                oldrev=subject.oldrev,
                newrev=subject.newrev,
                url=subject.url,
            )
        case _:
            return Named(text=subject.project, project=project)


def _change_object(change: Change, project: Named) -> Named:
    return Named(
        text=str(change.key),
        project=project,
        branch=change.branch,
        number=change.number,
        patchset=change.patchset,
        refspec=change.refspec,
        url=change.url,
        files=list(change.files),
        owner=(change.owner.username or change.owner.name) if change.owner else None,
        status=change.status,
        open=change.is_open,
        is_current_patchset=change.is_current,
        is_merged=change.is_merged,
        can_merge=change.is_submittable or any(record.status == "OK" for record in change.submit_records),
        approvals=[_approval(vote) for vote in change.votes],
        needs_changes=[_related(str(each)) for each in change.needs],
        needed_by_changes=[_related(str(each)) for each in change.needed_by],
    )


def _related(name: str) -> Named:
    """``12,3``, or the new revision of a ref: what is known of it without asking further."""
    number, separator, patchset = name.partition(",")
    return Named(text=name, number=number, patchset=patchset) if separator else Named(text=name, newrev=name)


def _neighbour(name: str) -> Named:
    return Named(text=name, change=_related(name))


def _approval(vote: Vote) -> dict[str, object]:
    """As Gerrit's JSON has it: the value is text."""
    approval: dict[str, object] = {"type": vote.label, "description": vote.label, "value": str(vote.value)}
    if vote.by is not None:
        approval["by"] = _account(vote.by)
    if vote.granted_on is not None:
        approval["grantedOn"] = int(vote.granted_on)
    return approval


def _account(account: Account) -> dict[str, str]:
    fields = {"name": account.name, "email": account.email, "username": account.username}
    return {name: value for name, value in fields.items() if value is not None}
