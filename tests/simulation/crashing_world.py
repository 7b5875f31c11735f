"""The simulated world with a service that dies: before a step is kept, before its effects leave, or behind them.

What it knows afterwards comes from its last snapshot and the steps since. What lacks its outcome is done again, in a
world where it may have been done already, with the answer lost; events that it had not kept are found later.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

from simulated_world import ANSWERS, NoFunctions, SimulatedWorld

from ci_gate.daemon.outstanding import Outstanding
from ci_gate.model.layout import Layout
from ci_gate.model.merge import MergeOutcome
from ci_gate.model.report import DeliveryOutcome
from ci_gate.scheduler.effects import CancelBuild, Effect, LaunchBuild, Merge, SendReport
from ci_gate.scheduler.inputs import EventReceived, Input, LayoutReplaced
from ci_gate.scheduler.scheduler import Scheduler

CRASH_EVERY = 12  # acts
WAYS = ("before the step is kept", "before its effects leave", "behind its effects")


@dataclass(frozen=True, slots=True)
class Kept:
    """A snapshot: after how many steps, and of what."""

    steps: int
    scheduler: str
    layout: Layout
    outstanding: tuple[Effect, ...]


@dataclass
class CrashingWorld(SimulatedWorld):
    """``posted``: reports that Gerrit has, whatever the service was told; ``made``: merges that there are."""

    posted: set[int] = field(default_factory=set)
    made: set[str] = field(default_factory=set)
    missed: list[EventReceived] = field(default_factory=list)
    outstanding: Outstanding = field(default_factory=Outstanding)
    crashes: int = 0
    _way: str | None = None
    _chance: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.kept = self._snapshot()

    def act(self, what: int, which: int) -> None:
        if what % CRASH_EVERY == 0:
            self._way, self._chance = WAYS[what // CRASH_EVERY % len(WAYS)], which
        if self.missed and which % 4 == 0:
            self._find_missed()
        super().act(what, which)

    def come_to_rest(self) -> None:
        while self.missed:
            self._find_missed()
        self._way = None
        super().come_to_rest()

    def _find_missed(self) -> None:
        self.at += 0.01
        self.handle(replace(self.missed.pop(0), at=self.at))

    def handle(self, message: Input) -> None:
        way, self._way = self._way, None
        if way is None:
            super().handle(message)
            self.outstanding.step(message, self.outputs[-1])
            return
        effects = self.scheduler.handle(message)
        if way == WAYS[0]:
            self._start_again([])
            self._lost(message)
            return
        if isinstance(message, ANSWERS):
            self.answers.append(message)
        self.inputs.append(message)
        self.outputs.append(effects)
        self.outstanding.step(message, effects)
        if way == WAYS[2]:
            for effect in effects:
                self._take(effect)
        self.check(self, effects)
        before = json.dumps(self.scheduler.snapshot())
        self._start_again(effects)
        assert json.dumps(self.scheduler.snapshot()) == before, "the service knows other things than before it died"

    def _lost(self, message: Input) -> None:
        """What was told, and was not kept. Who asked something is not answered; answers are asked for again."""
        if isinstance(message, EventReceived):
            self.missed.append(message)
        elif isinstance(message, LayoutReplaced):
            self.handle(message)

    # --- the end, and the next start ---

    def _snapshot(self) -> Kept:
        scheduler = self.scheduler
        return Kept(len(self.inputs), json.dumps(scheduler.snapshot()), scheduler.layout, tuple(self.outstanding))

    def _start_again(self, last_effects: list[Effect]) -> None:
        self.crashes += 1
        self._work_under_way_ends()
        kept = self.kept
        scheduler = Scheduler.restore(
            kept.layout, json.loads(kept.scheduler), options=self.scheduler._state.options, oracle=NoFunctions()
        )
        outstanding = Outstanding(kept.outstanding)
        for message, effects in zip(self.inputs[kept.steps :], self.outputs[kept.steps :], strict=True):
            assert scheduler.handle(message) == effects, "a step has other effects when it is decided once more"
            outstanding.step(message, effects)
        assert list(outstanding) == list(self.outstanding)
        self.scheduler = scheduler
        if self._chance % 3:
            self.kept = self._snapshot()
        for effect in [*(each for each in last_effects if isinstance(each, CancelBuild)), *outstanding]:
            self._take_again(effect)

    def _work_under_way_ends(self) -> None:
        """Calls end with the process, and so do its timers; what they did may be done. The job server may live on."""
        for number, effect in self.reports.items():
            if (self._chance + number) % 3 == 0 and number not in self.posted:
                self._post(effect.report, submits=True)
                self.posted.add(number)
        for name in self.merges:
            if (self._chance + len(self.made)) % 2 == 0:
                self.made.add(name)
        for known in (self.asked, self.merges, self.reports, self.verifications, self.timers):
            known.clear()
        if self._chance % 2:
            self.builds.clear()

    def _take_again(self, effect: Effect) -> None:
        match effect:
            case CancelBuild():
                self.builds.pop(effect.uuid, None)
            case LaunchBuild() if effect.request.uuid in self.builds:
                pass  # attached to
            case Merge() if effect.request.ref in self.made:
                self.merges[effect.request.ref] = effect  # on what it was made on
            case _:
                self._take(replace(effect, at=max(effect.at, self.at)) if hasattr(effect, "timer") else effect)

    def _take(self, effect: Effect) -> None:
        if isinstance(effect, SendReport) and effect.report_id in self.posted:
            assert effect.first_tried_at is not None, "a report that may be there already is not looked for"
        super()._take(effect)

    # --- answers that get lost ---

    def give_merge(self, name: str, outcome: MergeOutcome) -> None:
        if name in self.made:
            outcome = MergeOutcome.MERGED
        elif outcome is MergeOutcome.MERGED:
            self.made.add(name)
        super().give_merge(name, outcome)

    def give_report(self, number: int, outcome: DeliveryOutcome, *, submits: bool = True) -> None:
        if number in self.posted:
            outcome, submits = DeliveryOutcome.DELIVERED, False
        elif outcome is DeliveryOutcome.DELIVERED:
            self.posted.add(number)
        elif outcome is DeliveryOutcome.UNREACHABLE and number % 2:
            self._post(self.reports[number].report, submits=submits)
            self.posted.add(number)
        super().give_report(number, outcome, submits=submits)
