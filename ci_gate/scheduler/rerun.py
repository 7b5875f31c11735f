"""Running only the failed jobs again (additions.md: ``scope: failed``).

What a pipeline reported of a patch set is remembered. If it comes in again by a filter with that scope, and stands on
the same commits as then, the jobs that succeeded keep their result and URL, and the others run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ci_gate.model.change import Change, ChangeKey
from ci_gate.model.layout import Pipeline
from ci_gate.model.merge import BaseCommit
from ci_gate.scheduler.explain import Code
from ci_gate.scheduler.jobs import jobs_of
from ci_gate.scheduler.state import Build, BuildSet, Item
from ci_gate.scheduler.step import Step

FAILED = "failed"
MOST_REMEMBERED = 10_000  # those that were not reported for longest are forgotten first


@dataclass(frozen=True, slots=True)
class Base:
    """What a build set stands on: the changes ahead, and the tips that the chain was started on."""

    ahead: tuple[ChangeKey, ...]
    tips: tuple[BaseCommit, ...]


@dataclass(frozen=True, slots=True)
class Reported:
    """The last report on a patch set in one pipeline; ``succeeded`` are its builds by job."""

    key: ChangeKey
    base: Base
    succeeded: Mapping[str, Build]


def remember(step: Step, item: Item) -> None:
    """The item is being reported. Nothing is kept where no filter may ask for it."""
    change, base = step.state.subject(item), _base_of(item.build_set)
    if not isinstance(change, Change) or base is None or not _has_scope(item.pipeline.pipeline):
        return
    succeeded = {name: replace(each) for name, each in item.build_set.builds.items() if each.succeeded}
    known = step.state.reported_before
    place = (item.pipeline.name, change.key.connection, change.number)
    known[place] = Reported(change.key, base, succeeded)
    known.move_to_end(place)
    if len(known) > MOST_REMEMBERED:
        known.popitem(last=False)


def keep_successes(step: Step, item: Item) -> None:
    """The item has been merged: which results of its last report still count?"""
    key = item.subject_key
    if not item.only_failed or not isinstance(key, ChangeKey):
        return
    before = step.state.reported_before.get((item.pipeline.name, key.connection, key.number))
    if before is None or before.key != key:
        step.decide(key, item.pipeline.name, Code.ALL_AGAIN, reason="it was not reported before")
    elif before.base != _base_of(item.build_set):
        step.decide(key, item.pipeline.name, Code.ALL_AGAIN, reason="it stands on another base now")
    else:
        for job in jobs_of(step.state, item):
            if job.name in before.succeeded:
                item.build_set.builds[job.name] = replace(before.succeeded[job.name])
                step.decide(key, item.pipeline.name, Code.KEPT, job=job.name)


def _base_of(build_set: BuildSet) -> Base | None:
    """None where it is not known: old mergers do not tell."""
    answer = build_set.answer
    if answer is None or not answer.bases:
        return None
    return Base(tuple(each.key for each in build_set.ahead), tuple(sorted(answer.bases, key=str)))


def _has_scope(pipeline: Pipeline) -> bool:
    return any(each.scope == FAILED for each in pipeline.triggers)
