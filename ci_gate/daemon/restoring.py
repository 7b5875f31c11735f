"""Merged states that another host's merger made, made again here: the same commits under the same names.

A ``git_dir`` is one host's. When leadership passes to another, builds under way still fetch the refs that they were
given, and changes that come stand on states that only the other host has. The journal has what was asked and on which
tip of its branch each chain was begun; the same request on the same tip makes the same commit (decisions/0003).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from graphlib import TopologicalSorter

import structlog

from ci_gate.daemon.records import decode_effects
from ci_gate.merger.interface import Merger
from ci_gate.model.merge import MergeAnswer, MergeOutcome, MergeRequest
from ci_gate.scheduler.codec import decode
from ci_gate.scheduler.effects import Merge
from ci_gate.scheduler.inputs import MergeAnswered
from ci_gate.store.journal import Journal

ASKED = '"_type": "Merge"'
MOST_STEPS = 200_000  # that are looked at: what is inside was asked for lately

log = structlog.stdlib.get_logger("zuul.Merger")


@dataclass(frozen=True, slots=True)
class MadeState:
    """What was asked for, with its base, and the commit that it came to."""

    request: MergeRequest
    commit: str | None


def states_made(journal: Journal, in_use: Collection[str]) -> list[MadeState]:
    """The states in use and those that they stand on, each behind what it stands on. Blocks.

    Raises what SQLAlchemy raises.
    """
    asked: dict[str, MergeRequest] = {}
    answers: dict[str, MergeAnswer] = {}
    wanted = set(in_use)
    for number, entry in enumerate(journal.backwards(kind=MergeAnswered.__name__, effect=ASKED)):
        if number >= MOST_STEPS or not wanted - asked.keys():
            break
        if entry.kind == MergeAnswered.__name__:
            answer = decode(json.loads(entry.input), MergeAnswered).answer
            answers.setdefault(answer.ref, answer)
        for each in decode_effects(entry.effects) if ASKED in entry.effects else ():
            if isinstance(each, Merge) and each.request.ref in wanted:
                asked.setdefault(each.request.ref, each.request)
                wanted |= {each.request.ahead} if each.request.ahead is not None else set()
    made = {name for name in asked if name in answers and answers[name].outcome is MergeOutcome.MERGED}
    order = TopologicalSorter({name: {asked[name].ahead} & made for name in made}).static_order()
    return [_as_begun(asked[name], answers[name]) for name in order if name is not None]


def _as_begun(request: MergeRequest, answer: MergeAnswer) -> MadeState:
    own = (request.project, request.branch)
    base = next((each.commit for each in answer.bases if (each.project, each.branch) == own), None)
    return MadeState(replace(request, base=base), answer.commit)


async def restore_states(merger: Merger, states: Sequence[MadeState]) -> None:
    """All of them; each waits for what it stands on."""
    if not states:
        return
    answers = await asyncio.gather(*(_made(merger, each.request) for each in states))
    other = [each.request.ref for each, commit in zip(states, answers, strict=True) if commit != each.commit]
    log.info("merged states of another host are made here", states=len(states) - len(other))
    if other:
        log.warning("merged states of another host cannot be made as they were", states=len(other), first=other[0])


async def _made(merger: Merger, request: MergeRequest) -> str | None:
    try:
        return (await merger.merge(request)).commit
    except Exception:
        log.exception("a merged state of another host cannot be made", ref=request.ref)
        return None
