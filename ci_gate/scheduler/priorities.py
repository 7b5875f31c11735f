"""The value of an item among those of its pipeline, and how many of low value run at a time (additions.md)."""

from __future__ import annotations

from ci_gate.model.change import Change, Subject
from ci_gate.model.expression import Expression
from ci_gate.model.layout import INDEPENDENT, Pipeline, Priority
from ci_gate.scheduler.explain import Code
from ci_gate.scheduler.state import Item, PipelineState
from ci_gate.scheduler.step import Step


def value_of(pipeline: Pipeline, subject: Subject, comment: str | None) -> int:
    """That of the first entry whose every expression is found, else 0. ``comment`` is the one that started it."""
    return next((each.value for each in pipeline.priorities if _fits(each, subject, comment)), 0)


def _fits(wanted: Priority, subject: Subject, comment: str | None) -> bool:
    change = subject if isinstance(subject, Change) else None
    owner = change.owner if change else None
    owners = (owner.username, owner.email, owner.name) if owner else ()
    return (
        _found(wanted.owner, *owners)
        and _found(wanted.topic, change.topic if change else None)
        and _found(wanted.hashtag, *(change.hashtags if change else ()))
        and _found(wanted.comment, comment)
    )


def _found(wanted: Expression | None, *texts: str | None) -> bool:
    return wanted is None or any(text is not None and wanted.search(text) for text in texts)


def may_run(step: Step, item: Item) -> bool:
    """Is the item one of the few of low value that may run? If not, it waits for one of them to leave."""
    pipeline = item.pipeline
    limit = _limit(pipeline)
    if limit is None or item.value >= 0 or item in pipeline.running_low:
        pipeline.waiting_low.pop(item, None)
        return True
    if len(pipeline.running_low) < limit:
        pipeline.running_low[item] = None
        pipeline.waiting_low.pop(item, None)
        return True
    if item not in pipeline.waiting_low:
        pipeline.waiting_low[item] = None
        item.view = None
        step.decide(item.subject_key, pipeline.name, Code.WAITS_FOR_LIMIT, limit=limit, value=item.value)
    return False


def make_room(step: Step, item: Item) -> None:
    """The item has left."""
    item.pipeline.waiting_low.pop(item, None)
    if item.pipeline.running_low.pop(item, item) is None:
        fill(step, item.pipeline)


def fill(step: Step, pipeline: PipelineState) -> None:
    """As long as there is room, the best of those that wait may run."""
    limit = _limit(pipeline)
    while pipeline.waiting_low and (limit is None or len(pipeline.running_low) < limit):
        best = min(pipeline.waiting_low, key=lambda each: (-each.value, each.number))
        del pipeline.waiting_low[best]
        pipeline.running_low[best] = None
        step.touch(best)


def _limit(pipeline: PipelineState) -> int | None:
    return pipeline.pipeline.limit if pipeline.pipeline.manager == INDEPENDENT else None
