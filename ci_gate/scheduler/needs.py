"""Needed changes: can they be provided, and where (scheduler.md 5.2, 5.3, and 7.2 nos. 1 and 4)."""

from __future__ import annotations

from ci_gate.model.change import Change, ChangeKey
from ci_gate.scheduler.explain import Code, Verdict, failed
from ci_gate.scheduler.readiness import blockers, is_known, own_labels
from ci_gate.scheduler.state import ChangeQueue, Item, PipelineState, State


def to_put_in_front(
    state: State, pipeline: PipelineState, queue: ChangeQueue, change: Change
) -> tuple[list[ChangeKey], Verdict | None]:
    """What has to enter ahead of a change, in order; or why it cannot."""
    if not pipeline.looks_at_needs:
        return [], None
    in_front: list[ChangeKey] = []
    for need in change.needs:
        record = state.records.change(need)
        if (record is not None and record.is_merged) or (need in queue.by_key and not pipeline.is_dependent):
            continue
        if pipeline.is_dependent:
            refusal = _refusal(state, pipeline, queue, need, record)
            if refusal is not None:
                return [], refusal
        if need not in queue.by_key:
            in_front.append(need)
    return in_front, None


def _refusal(
    state: State, pipeline: PipelineState, queue: ChangeQueue, need: ChangeKey, record: Change | None
) -> Verdict | None:
    """The order of these counts: what is in the queue already must be current all the same."""
    if record is None or (need not in queue.by_key and pipeline.queue_of(record.project) is not queue):
        return failed(Code.NEED_ELSEWHERE, change=str(need))
    if not record.is_current:
        return failed(Code.NEED_OUTDATED, change=str(need))
    if need in queue.by_key:
        return None
    return not_ready(pipeline, record)


def not_ready(pipeline: PipelineState, change: Change, *, on_its_own: bool = False) -> Verdict | None:
    """What keeps Gerrit from submitting it now, the pipeline's own labels aside (gerrit-wire.md 4.6).

    Where that is not known, a change may come in ``on_its_own``: its event was accepted, or an operator named it; one
    that would only be pulled in may not, unless the pipeline's requirements decide.
    """
    found = blockers(change, own_labels(pipeline.pipeline))
    if not found:
        if is_known(change) or on_its_own or pipeline.pipeline.require.approval:
            return None
        return failed(Code.READINESS_UNKNOWN, change=str(change.key))
    named = sorted(f"{each.name} {each.detail}".strip() for each in found)
    return failed(Code.NOT_READY, change=str(change.key), blockers=tuple(named))


def missing(state: State, item: Item) -> Verdict | None:
    """Can a needed change no longer be provided to an item that is inside?

    Where the order is that of merging, one behind it comes too late; where all is only tested together, it does not.
    """
    change = state.subject(item)
    if not isinstance(change, Change) or not change.needs or not item.pipeline.looks_at_needs:
        return None
    in_front, refusal = to_put_in_front(state, item.pipeline, item.queue, change)
    if refusal is not None:
        return refusal
    for need in (*in_front, *(_behind(item, change) if item.pipeline.is_dependent else ())):
        return failed(Code.NEED_MISSING, change=str(need))
    return None


def _behind(item: Item, change: Change) -> list[ChangeKey]:
    inside = ((need, item.queue.by_key.get(need)) for need in change.needs)
    return [need for need, found in inside if found is not None and found.place > item.place]


def failing(state: State, item: Item) -> ChangeKey | None:
    """A needed change that is inside this dependent pipeline, and failing."""
    change = state.subject(item)
    if not isinstance(change, Change) or not item.pipeline.is_dependent:
        return None
    for need in change.needs:
        inside = item.pipeline.live.get(need)
        if inside is not None and inside.build_set.failing_reasons:
            return need
    return None
