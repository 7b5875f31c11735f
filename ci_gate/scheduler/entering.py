"""How subjects come into pipelines, with what they need and what needs them (scheduler.md 5).

Entering one may mean entering many, before and behind it. Each is a generator that yields the entries that it wants
made first and is told how they went; ``enter`` runs them from a list, so that a chain may be thousands of changes long.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace

from ci_gate.model.change import Change, ChangeKey, Subject, SubjectKey
from ci_gate.model.event import Event
from ci_gate.model.measures import ItemEntered
from ci_gate.scheduler import needs, reporting, supercedent, windows
from ci_gate.scheduler.explain import Code, Verdict, failed
from ci_gate.scheduler.filters import PARENT_ENQUEUED, check_requirements
from ci_gate.scheduler.priorities import value_of
from ci_gate.scheduler.state import ChangeQueue, Item, PipelineState
from ci_gate.scheduler.step import Step


@dataclass(frozen=True, slots=True)
class Occasion:
    """What lets a subject in: an event that was accepted, or an operator.

    ``comment`` is the event's. ``only_failed``: jobs that succeeded before on the same base need not run again.
    """

    comment: str | None = None
    only_failed: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One subject on its way in. ``queue`` None: the one that it belongs to. ``former``: items that come in again.

    ``quiet``: without a start report. ``live`` False: only to be merged below others. ``occasion`` None: it enters only
    for the sake of another.
    """

    pipeline: PipelineState
    key: SubjectKey
    quiet: bool = False
    ignore_requirements: bool = False
    live: bool = True
    queue: ChangeQueue | None = None
    former: Mapping[SubjectKey, Item] = field(default_factory=dict)
    occasion: Occasion | None = field(default_factory=Occasion)


Entering = Generator[Entry, bool, bool]


def enter(step: Step, entry: Entry) -> bool:
    """Let a subject in with all that goes with it; is it inside now? Its record must be known."""
    under_way = [_entering(step, entry)]
    answer: bool | None = None
    while under_way:
        try:
            # A generator that has not begun takes nothing but None.
            wanted = next(under_way[-1]) if answer is None else under_way[-1].send(answer)
        except StopIteration as ended:
            under_way.pop()
            answer = ended.value
        else:
            under_way.append(_entering(step, wanted))
            answer = None
    return bool(answer)


def _entering(step: Step, entry: Entry) -> Entering:
    """The steps of scheduler.md 5.1, by its numbers."""
    state, pipeline, key = step.state, entry.pipeline, entry.key
    if entry.live and key in pipeline.live:  # 1
        step.decide(key, pipeline.name, Code.ALREADY_IN)
        return True
    subject = state.records[key]
    queue = entry.queue or pipeline.queue_of(subject.project)
    refusal = _refusal(step, entry, subject, queue)
    if refusal is not None:
        step.decide_verdict(key, pipeline.name, refusal)
        return False
    queue = queue or _own_queue(pipeline, subject)
    if isinstance(subject, Change):  # 5
        provided = yield from _provide_needs(step, replace(entry, queue=queue), queue, subject)
        if not provided:
            if entry.queue is None:  # it was made for this one
                pipeline.drop_if_empty(queue)
            return False
    if key in queue.by_key:  # 6
        return True
    if pipeline.is_supercedent:
        supercedent.make_way(step, queue, key)
    item = _append(step, entry, queue)  # 7
    if entry.live and not entry.quiet:  # 8
        reporting.report_start(step, item)
    if pipeline.is_dependent and isinstance(subject, Change):  # 9
        for behind in subject.needed_by:
            record = state.records.change(behind)
            same_queue = record is not None and pipeline.queue_of(record.project) is queue
            if record is not None and same_queue and needs.not_ready(pipeline, record) is None:
                providing, step.providing = step.providing, set()  # what is under way may come in through here
                yield replace(entry, key=behind, occasion=None)
                step.providing = providing
    _tell_internal_triggers(step, item)  # 10
    return True


def _refusal(step: Step, entry: Entry, subject: Subject, queue: ChangeQueue | None) -> Verdict | None:
    """Steps 2 to 4: what keeps the subject out, before anything is done for it."""
    pipeline, refusal = entry.pipeline, None
    if pipeline.is_dependent and isinstance(subject, Change):  # 2
        refusal = needs.not_ready(pipeline, subject, on_its_own=entry.occasion is not None)
    if refusal is None and not entry.ignore_requirements:  # 3
        votes = step.state.options.reject_requires_votes
        refusal = check_requirements(pipeline.pipeline, subject, step.at, reject_requires_votes=votes)
    if refusal is None and queue is None and pipeline.is_dependent:  # 4
        refusal = failed(Code.NO_QUEUE, project=subject.project)
    return refusal


def _own_queue(pipeline: PipelineState, subject: Subject) -> ChangeQueue:
    return supercedent.queue_for(pipeline, subject) if pipeline.is_supercedent else pipeline.new_queue(subject.project)


def _provide_needs(step: Step, entry: Entry, queue: ChangeQueue, change: Change) -> Entering:
    in_front, refusal = needs.to_put_in_front(step.state, entry.pipeline, queue, change)
    if refusal is not None:
        step.decide_verdict(entry.key, entry.pipeline.name, refusal)
        return False
    for need in in_front:
        if need in step.providing or step.state.records.change(need) is None:
            came_in = False  # a circle of needs, or a change that Gerrit does not show
        else:
            step.providing.add(entry.key)
            came_in = yield _ahead_of(entry, need)
            step.providing.discard(entry.key)
        if not came_in:
            step.decide(entry.key, entry.pipeline.name, Code.NEED_REFUSED, change=str(need))
            return False
    return True


def _ahead_of(entry: Entry, need: ChangeKey) -> Entry:
    """Of a change that is only merged below the one that needs it nothing is required (scheduler.md 5.2)."""
    if entry.pipeline.is_dependent:
        return replace(entry, key=need, occasion=None)
    return replace(entry, key=need, live=False, quiet=True, ignore_requirements=True, occasion=None)


def _append(step: Step, entry: Entry, queue: ChangeQueue) -> Item:
    state, pipeline = step.state, entry.pipeline
    state.items_entered += 1
    former, occasion = entry.former.get(entry.key), entry.occasion or Occasion()
    item = Item(
        state.items_entered,
        entry.key,
        pipeline,
        queue,
        enqueued_at=former.enqueued_at if former else step.at,
        live=entry.live,
        place=state.items_entered,
        value=former.value if former else value_of(pipeline.pipeline, state.records[entry.key], occasion.comment),
        only_failed=former.only_failed if former else occasion.only_failed,
    )
    state.records.use(state.records[entry.key], item)
    item.link(queue.items[-1] if queue.items and not pipeline.is_supercedent else None)
    queue.items.append(item)
    queue.by_key[entry.key] = item
    if entry.live:
        pipeline.live[entry.key] = item
    windows.settle(step, queue)
    ahead = str(item.item_ahead.subject_key) if item.item_ahead else None
    code = Code.ENTERED if entry.live else Code.ENTERED_DEAD
    step.decide(entry.key, pipeline.name, code, **({"behind": ahead} if ahead else {"behind": "nothing"}))
    step.count(ItemEntered(pipeline.name))
    step.touch(item)
    return item


def _tell_internal_triggers(step: Step, item: Item) -> None:
    """Changes that need this one may have a trigger that waits for it (scheduler.md 15)."""
    change = step.state.subject(item)
    if not isinstance(change, Change) or not step.state.wants(PARENT_ENQUEUED):
        return
    for key in change.needed_by:
        child = step.state.records.change(key)
        if child is not None:
            step.internal.append(
                Event(
                    PARENT_ENQUEUED,
                    key.connection,
                    child.project,
                    child.branch,
                    key.number,
                    key.patchset,
                    pipeline=item.pipeline.name,
                )
            )
