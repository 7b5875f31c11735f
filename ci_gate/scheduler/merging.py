"""Speculative states: asking mergers for them, and what their answers mean (scheduler.md 8)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ci_gate.model.change import Change, Periodic, RefUpdate, Subject
from ci_gate.model.merge import MergeAnswer, MergeMode, MergeOutcome, MergeRequest, UpdateRequest
from ci_gate.scheduler import building, rerun
from ci_gate.scheduler.chains import EMPTY, Chain
from ci_gate.scheduler.effects import Merge, SetTimer, UpdateRepository
from ci_gate.scheduler.explain import Code
from ci_gate.scheduler.state import Item, MergeState
from ci_gate.scheduler.step import Step

MERGE_REPEATS = 3
MERGE_REPEAT_S = 5.0


def prepare(step: Step, item: Item) -> None:
    """Ask for the state that the item's builds will test, and first for those that it stands on and nobody asked for.

    Items without jobs have none of their own until somebody stands on them.
    """
    asked_for = [item]
    for ahead in _changes_ahead(step, item):
        if ahead.build_set.merge_state is not MergeState.NEW:
            break
        asked_for.append(ahead)
    for each in reversed(asked_for):
        _ask(step, each)


def _changes_ahead(step: Step, item: Item) -> Iterator[Item]:
    """The changes that a change stands on, nearest first. Refs among them are in their branches: no state is theirs."""
    ahead = item.item_ahead if isinstance(step.state.subject(item), Change) else None
    while ahead is not None:
        if isinstance(step.state.subject(ahead), Change):
            yield ahead
        ahead = ahead.item_ahead


def _ask(step: Step, item: Item) -> None:
    """On what the item stands on now."""
    subject = step.state.subject(item)
    if isinstance(subject, Change):
        item.build_set.chain = _chain_ahead(step, item).with_next(subject)
    _request(step, item)


def _chain_ahead(step: Step, item: Item) -> Chain:
    """What the item ahead stands on and itself, less what was merged since; all of that was asked for before."""
    ahead = item.item_ahead
    if ahead is None:
        return EMPTY
    head = ahead
    while head.item_ahead is not None:
        head = head.item_ahead
    known = ahead.build_set.chain.beginning_with(head.subject_key)
    if known is not None:
        return known
    chain = EMPTY
    for each in item.chain_ahead():
        subject = step.state.subject(each)
        chain = chain.with_next(subject) if isinstance(subject, Change) else chain
    return chain


def _request(step: Step, item: Item) -> None:
    """For refs and timers, a fresh copy of the repository."""
    state, build_set = step.state, item.build_set
    if build_set.name is None:
        build_set.name = f"Z{state.identifiers.take()}"
        state.items_by_build_set[build_set.name] = item
    build_set.merge_state = MergeState.PENDING
    build_set.merge_tries += 1
    value = 0 if item.pipeline.is_dependent else item.value  # states are made in the order of the queue
    if state.turns.ask_to_merge(item.pipeline.pipeline.precedence, value, build_set.name):
        send(step, item)


def send(step: Step, item: Item) -> None:
    """Hand the request out to the mergers."""
    state, build_set, name = step.state, item.build_set, item.build_set.name or ""
    subject, precedence = state.subject(item), item.pipeline.pipeline.precedence
    if not isinstance(subject, Change):
        update = UpdateRequest(name, subject.key.connection, subject.project)
        step.emit(UpdateRepository(update, precedence))
        return
    project = state.layout.projects.get(subject.project)
    request = MergeRequest(
        ref=name,
        connection=subject.key.connection,
        project=subject.project,
        branch=subject.branch,
        refspec=subject.refspec,
        number=subject.number,
        patchset=subject.patchset,
        mode=project.merge_mode if project else MergeMode.MERGE_RESOLVE,
        ahead=next((each.build_set.name for each in _changes_ahead(step, item)), None),
        depth=len(build_set.chain.changes),
        revision=subject.revision,
    )
    step.emit(Merge(request, precedence, fresh=item.pipeline.is_dependent))


def merge_answered(step: Step, answer: MergeAnswer) -> None:
    """Only a conflict is the change's fault; everything else is asked for again first (scheduler.md 8)."""
    step.state.turns.merged(answer.ref)
    item = step.state.items_by_build_set.get(answer.ref)
    if item is None or item.build_set.merge_state is not MergeState.PENDING:
        step.decide(answer.ref, None, Code.UNKNOWN_ANSWER, what="a merge")
        return
    build_set, subject = item.build_set, step.state.subject(item)
    name, pipeline = item.subject_key, item.pipeline.name
    answer = _understood(answer, subject)
    if answer.outcome is MergeOutcome.MERGED:
        build_set.answer, build_set.merge_state = answer, MergeState.COMPLETE
        code = Code.MERGED if isinstance(subject, Change) else Code.UPDATED
        step.decide(name, pipeline, code, commit=answer.commit)
        rerun.keep_successes(step, item)
    elif _may_pass(answer.outcome) and build_set.merge_tries <= MERGE_REPEATS:
        delay = MERGE_REPEAT_S * 2 ** (build_set.merge_tries - 1)
        step.emit(SetTimer(f"merge:{answer.ref}", step.at + delay))
        step.decide(name, pipeline, Code.MERGE_REPEATED, tries=build_set.merge_tries + 1, reason=answer.detail)
    else:
        build_set.answer, build_set.merge_state = answer, MergeState.COMPLETE
        step.decide(name, pipeline, Code.NOT_MERGED, outcome=answer.outcome.value, reason=answer.detail)
        building.skip_all(step, item)
    step.touch(item)


def _understood(answer: MergeAnswer, subject: Subject) -> MergeAnswer:
    """The answer as it counts for this kind of subject (scheduler.md 8 nos. 4 and 5)."""
    match subject:
        case Change() if answer.outcome is MergeOutcome.MERGED and answer.commit is None:
            return replace(answer, outcome=MergeOutcome.INTERNAL, detail="the merger named no commit")
        case RefUpdate() if answer.outcome is MergeOutcome.MERGED:
            return replace(answer, commit=subject.newrev)
        case Periodic():
            return replace(answer, outcome=MergeOutcome.MERGED)  # it goes on with what there is
        case _:
            return answer


def _may_pass(outcome: MergeOutcome) -> bool:
    return outcome not in (MergeOutcome.CONFLICT, MergeOutcome.MISSING_BRANCH)


def merge_again(step: Step, name: str) -> None:
    """The timer after a merge that failed for technical reasons has fired.

    An item that has left the window meanwhile, or whose needed change fails, asks when it may merge again; the tries
    so far count.
    """
    item = step.state.items_by_build_set.get(name)
    if item is None or item.build_set.merge_state is not MergeState.PENDING:
        return
    if item.active and not item.build_set.canceled_in_place:
        _ask(step, item)
    else:
        item.build_set.merge_state = MergeState.NEW
