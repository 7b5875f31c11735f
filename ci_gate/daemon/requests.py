"""Operators' requests as they come over the admin socket, made into commands; and the list of running jobs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from ci_gate.config.settings import GerritSettings
from ci_gate.daemon.admin import Handler, Request
from ci_gate.daemon.commands import CommandDesk
from ci_gate.model.commands import Dequeue, Enqueue, EnqueueRef, OperatorCommand, Promote
from ci_gate.model.item import ItemView, JobView, StatusView
from ci_gate.model.layout import Layout
from ci_gate.model.operations import CommandAnswer
from ci_gate.scheduler.explain import Decisions
from ci_gate.scheduler.inputs import Commanded
from ci_gate.web.status import head_documents

CommitUrl = Callable[[str, str, str], str | None]
"""Pipeline, project and revision to what shows the revision to people; None if it is not known where that is."""


class BadRequestError(Exception):
    """A field is missing or of the wrong type; the text names it."""


def handlers(
    desk: CommandDesk, view: Callable[[], StatusView], decisions: Decisions, commit_url: CommitUrl
) -> Mapping[str, Handler]:
    """By the names of the commands."""

    def asking(make: Callable[[Request], OperatorCommand]) -> Handler:
        async def handle(request: Request) -> CommandAnswer:
            try:
                command = make(request)
            except BadRequestError as problem:
                return CommandAnswer(done=False, lines=(str(problem),), valid=False)
            return await desk.carry_out(lambda at, ticket: Commanded(at, ticket, command))

        return handle

    async def running_jobs(_request: Request) -> CommandAnswer:
        return CommandAnswer(done=True, lines=(), data=items(view()))

    async def explain(request: Request) -> CommandAnswer:
        try:
            subject = _text(request, "subject")
        except BadRequestError as problem:
            return CommandAnswer(done=False, lines=(str(problem),), valid=False)
        return explanation(decisions, subject)

    return {
        "explain": explain,
        "enqueue": asking(_enqueue),
        "enqueue-ref": asking(lambda request: _enqueue_ref(request, commit_url)),
        "dequeue": asking(_dequeue),
        "promote": asking(_promote),
        "running-jobs": running_jobs,
    }


def commit_urls(gerrits: Iterable[GerritSettings], layout: Callable[[], Layout]) -> CommitUrl:
    """At the Gerrit that the pipeline's changes come from."""
    by_name = {each.name: each for each in gerrits}

    def commit_url(pipeline: str, project: str, revision: str) -> str | None:
        found = layout().pipeline(pipeline)
        gerrit = by_name.get(found.source) if found else None
        return gerrit.commit_url(project, revision) if gerrit else None

    return commit_url


def explanation(decisions: Decisions, subject: str) -> CommandAnswer:
    """What was decided about a change, made into words now."""
    found = decisions.about(subject)
    if not found:
        reason = f"nothing is known of {subject}: no event about it has come since the service started"
        return CommandAnswer(done=False, lines=(reason,))
    data = [
        {"at": each.at, "subject": each.subject, "pipeline": each.pipeline, "code": each.code, "text": each.text}
        for each in found
    ]
    return CommandAnswer(done=True, lines=(), data=data)


def gearman_functions(known: Mapping[str, Handler]) -> Mapping[str, Handler]:
    """By the names that Zuul gave them (outputs.md 7.1)."""
    return {
        "zuul:enqueue": known["enqueue"],
        "zuul:enqueue_ref": known["enqueue-ref"],
        "zuul:promote": known["promote"],
        "zuul:get_running_jobs": known["running-jobs"],
    }


def items(view: StatusView) -> list[object]:
    """Every item as in status.json, but for links that ``url_pattern`` makes (outputs.md 7.1)."""
    now = time.time()
    heads = (head for pipeline in view.pipelines for queue in pipeline.queues for head in queue.heads)
    return [document for head in heads for document in head_documents(tuple(map(_without_url_pattern, head)), now)]


def _without_url_pattern(item: ItemView) -> ItemView:
    """A link is then what the job's own pattern makes of it, or the worker's."""

    def linked(view: JobView) -> JobView:
        result = view.build.result if view.build else None
        return view if view.job.pattern_for(result) else replace(view, report_url=None)

    return replace(item, jobs=tuple(map(linked, item.jobs)))


def _text(request: Request, name: str) -> str:
    value = request.get(name)
    if not isinstance(value, str) or not value:
        raise BadRequestError(f'the request needs "{name}", a text')
    return value


def _enqueue(request: Request) -> Enqueue:
    return Enqueue(*(_text(request, each) for each in ("trigger", "pipeline", "project", "change")))


def _enqueue_ref(request: Request, commit_url: CommitUrl) -> EnqueueRef:
    names = ("trigger", "pipeline", "project", "ref", "oldrev", "newrev")
    command = EnqueueRef(*(_text(request, each) for each in names))
    return replace(command, url=commit_url(command.pipeline, command.project, command.newrev))


def _dequeue(request: Request) -> Dequeue:
    change, ref = request.get("change"), request.get("ref")
    if (change is None) == (ref is None):
        raise BadRequestError('the request needs either "change" or "ref"')
    pipeline, project = _text(request, "pipeline"), _text(request, "project")
    if change is not None:
        return Dequeue(pipeline, project, change=_text(request, "change"))
    return Dequeue(pipeline, project, ref=_text(request, "ref"))


def _promote(request: Request) -> Promote:
    changes = request.get("change_ids")
    if not isinstance(changes, list) or not changes or not all(isinstance(each, str) for each in changes):
        raise BadRequestError('the request needs "change_ids", a list of texts')
    return Promote(_text(request, "pipeline"), tuple(changes))
