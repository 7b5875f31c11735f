"""What the build history is told of an item: once at its end, and of each attempt that came to nothing before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ci_gate.model.change import Change, RefUpdate
from ci_gate.model.history import PastBuild, PastBuildSet
from ci_gate.model.item import ItemView
from ci_gate.model.layout import GerritReporter, Reporter, SqlReporter
from ci_gate.scheduler.effects import RecordHistory
from ci_gate.scheduler.state import Item
from ci_gate.scheduler.step import Step
from ci_gate.scheduler.views import item_view


def note_reported(step: Step, item: Item, message: str, reporters: Sequence[Reporter]) -> None:
    """``message`` is the report's text without job lines."""
    step.emit(RecordHistory(_build_set(step, item, message=message, score=_score(reporters))))


def note_withdrawn(step: Step, item: Item) -> None:
    """It leaves without a report. Of one that nobody tested there is nothing to tell."""
    if item.live and item.build_set.builds:
        step.emit(RecordHistory(_build_set(step, item)))


def note_attempt(step: Step, item: Item) -> None:
    """Its build set makes way for another. Without a build that ran there is nothing to tell."""
    if any(each.started_at is not None for each in item.build_set.builds.values()):
        step.emit(RecordHistory(_build_set(step, item, again=True)))


def _build_set(
    step: Step, item: Item, *, again: bool = False, message: str = "", score: int | None = None
) -> PastBuildSet:
    item.view = None
    view, identifier = item_view(step.state, item), step.state.identifiers.of_item(item.number)
    subject = view.subject
    change = subject if isinstance(subject, Change) else None
    ref = subject if isinstance(subject, RefUpdate) else None
    return PastBuildSet(
        item=identifier,
        uuid=item.build_set.name or identifier,
        at=step.at,
        enqueued_at=item.enqueued_at,
        pipeline=view.pipeline,
        project=subject.project,
        result=item.build_set.result or "",
        again=again,
        message=message,
        score=score,
        zuul_ref=view.ref,
        commit=view.commit,
        branch=change.branch if change else None,
        change=change.number if change else None,
        patchset=change.patchset if change else None,
        ref=change.refspec if change else ref.ref if ref else None,
        newrev=ref.newrev if ref else None,
        url=subject.url if isinstance(subject, Change | RefUpdate) else None,
        builds=tuple(_builds(view)),
    )


def _builds(view: ItemView) -> Iterator[PastBuild]:
    for each in view.jobs:
        build = each.build
        if build is None or not build.result:
            continue
        yield PastBuild(
            each.job.name,
            build.uuid,
            build.result,
            voting=each.job.voting,
            log_url=each.report_url or "",
            url=build.url,
            number=build.number,
            launched_at=build.launched_at,
            started_at=build.started_at,
            ended_at=build.ended_at,
            node_name=build.node_name,
            node_labels=build.node_labels,
            worker=build.worker.name if build.started_at is not None else None,
            worker_host=build.worker.hostname,
            reason=build.reason,
        )


def _score(reporters: Sequence[Reporter]) -> int | None:
    """That of the results database if there is one, else the first vote."""
    scores = [each.score for each in reporters if isinstance(each, SqlReporter)]
    votes = [value for each in reporters if isinstance(each, GerritReporter) for _, value in each.labels]
    return next(iter([*scores, *votes]), None)
