"""What would have gone differently with another layout: the recorded events, decided by it, and both compared.

The layout takes over at the beginning of the span, as a reload would. ``stand_in.py`` says what is assumed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ci_gate.daemon.recovery import Standing, replay
from ci_gate.model.item import ItemView
from ci_gate.model.layout import Job, Layout
from ci_gate.replay.facts import Fact, Facts, Place
from ci_gate.replay.memories import Gathering
from ci_gate.replay.running import Decided, Source, Span, run, segments, standing_at
from ci_gate.replay.stand_in import StandIn
from ci_gate.scheduler.inputs import LayoutReplaced
from ci_gate.scheduler.oracle import Answer, Oracle

STEPS_MOST = 20  # for each recorded step; a layout that never comes to rest is a defect
STEPS_LEAST = 10_000


@dataclass(frozen=True, slots=True)
class Change:
    """A subject that would have fared otherwise in a pipeline. ``was`` and ``would`` say whether it entered.

    ``reason`` is why not, where it would not have entered. ``assumed`` are gained jobs whose result is a guess.
    """

    subject: str
    pipeline: str
    was: bool
    would: bool
    reason: str = ""
    gained: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()
    result_was: str | None = None
    result_would: str | None = None


@dataclass(frozen=True, slots=True)
class WhatIf:
    """``compared`` counts subjects in pipelines; ``asked_afresh`` calls of layout functions, which the record lacks."""

    changes: tuple[Change, ...]
    compared: int
    steps: int
    asked_afresh: int
    unfinished: bool = False


@dataclass(slots=True)
class Counting:
    """Asks the new layout's functions, and counts."""

    oracle: Oracle
    asked: int = 0

    def edit_parameters(self, item: ItemView, job: Job, parameters: dict[str, object]) -> Answer:
        self.asked += 1
        return self.oracle.edit_parameters(item, job, parameters)


@dataclass(slots=True)
class _Recorded:
    facts: Facts = field(default_factory=Facts)
    gathering: Gathering = field(default_factory=Gathering)
    steps: int = 0
    first_at: float | None = None


def what_if(source: Source, span: Span, layout: Layout, oracle: Oracle) -> WhatIf:
    """Raises what ``run`` raises."""
    standing = _standing_before(source, span)
    recorded = _recorded(source, span, standing)
    counting = Counting(oracle)
    if recorded.first_at is None:
        return WhatIf((), 0, 0, 0)
    stand_in = StandIn(recorded.gathering.memories)
    facts, rested = _decide(standing, layout, counting, stand_in, recorded)
    changes = tuple(_changes(recorded.facts, facts, stand_in, layout))
    compared = len({*_inside(recorded.facts), *_inside(facts)})
    return WhatIf(changes, compared, recorded.steps, counting.asked, unfinished=not rested)


def _standing_before(source: Source, span: Span) -> Standing:
    """Where the service stood when the span began."""
    standing = standing_at(source, segments(source, span)[0])
    first = source.first_seq_at(span.since) if span.since is not None else standing.seq + 1
    for _ in replay(source, standing, until=source.last_seq() if first is None else first - 1):
        pass
    return standing


def _recorded(source: Source, span: Span, standing: Standing) -> _Recorded:
    recorded = _Recorded()
    recorded.gathering.begin(standing.outstanding)
    for each in run(source, span):
        if isinstance(each, Decided):
            recorded.facts.add(each.decisions)
            recorded.gathering.step(each)
            recorded.steps += 1
            recorded.first_at = each.step.entry.at if recorded.first_at is None else recorded.first_at
    return recorded


def _decide(
    standing: Standing, layout: Layout, oracle: Oracle, stand_in: StandIn, recorded: _Recorded
) -> tuple[Facts, bool]:
    """What the new layout makes of it, and whether all came to rest."""
    facts, now = Facts(), recorded.first_at or 0.0
    scheduler = standing.scheduler
    stand_in.put(LayoutReplaced(now, 0, layout, oracle), *recorded.gathering.memories.external)
    stand_in.take(standing.outstanding, now)
    for _ in range(max(STEPS_LEAST, STEPS_MOST * recorded.steps)):
        message = stand_in.next(now)
        if message is None:
            return facts, True
        now = message.at
        effects = scheduler.handle(message)
        facts.add(scheduler.last_decisions)
        stand_in.note(scheduler.last_decisions)
        stand_in.take(effects, now)
    return facts, False


def _inside(facts: Facts) -> list[Place]:
    return [place for place, fact in facts.by_place.items() if fact.was_inside]


def _changes(was: Facts, would: Facts, stand_in: StandIn, layout: Layout) -> Iterator[Change]:
    pipelines = {each.name for each in layout.pipelines}
    for place in dict.fromkeys([*_inside(was), *_inside(would)]):
        before, after = was.by_place.get(place, Fact()), would.by_place.get(place, Fact())
        assumed = tuple(stand_in.assumed.get(place, ()))
        if before.was_inside and not after.was_inside:
            yield Change(*place, was=True, would=False, reason=_why_not(after, place[1] in pipelines))
        elif after.was_inside and not before.was_inside:
            jobs = tuple(after.jobs)
            yield Change(*place, was=False, would=True, gained=jobs, assumed=assumed, result_would=after.result)
        elif before.settled:
            change = _of_both(place, before, after, assumed)
            if change is not None:
                yield change


def _why_not(fact: Fact, pipeline_is_there: bool) -> str:  # the one thing that it asks
    if not pipeline_is_there:
        return "the layout has no such pipeline"
    return fact.last.text if fact.last is not None else "no event of it is looked at"


def _of_both(place: Place, before: Fact, after: Fact, assumed: tuple[str, ...]) -> Change | None:
    gained = tuple(each for each in after.jobs if each not in before.jobs)
    lost = tuple(each for each in before.jobs if each not in after.jobs)
    if not gained and not lost and before.result == after.result:
        return None
    return Change(
        *place,
        was=True,
        would=True,
        gained=gained,
        lost=lost,
        assumed=tuple(each for each in assumed if each in gained),
        result_was=before.result,
        result_would=after.result,
    )
