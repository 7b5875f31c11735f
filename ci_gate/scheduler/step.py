"""One step at work: the state, the time, what has been decided so far. Every rule takes one of these."""

from __future__ import annotations

from dataclasses import dataclass, field

from ci_gate.model.change import SubjectKey
from ci_gate.model.event import Event
from ci_gate.model.measures import Measure
from ci_gate.scheduler.agenda import Agenda
from ci_gate.scheduler.effects import Effect
from ci_gate.scheduler.explain import Code, Decision, Decisions, Verdict
from ci_gate.scheduler.oracle import Oracle
from ci_gate.scheduler.outbound import Outbound
from ci_gate.scheduler.state import Item, State


@dataclass(slots=True)
class Step:
    """``agenda`` holds the items whose situation may have changed; the step ends when it is empty.

    ``internal`` are events of the service itself, which are offered to the pipelines after that (scheduler.md 15), and
    ``merged_projects`` the connections and projects in which a change was merged. ``providing`` are subjects whose
    needs are being put in front of them, one because of the other: a circle among them would never end.
    """

    at: float
    state: State
    oracle: Oracle
    history: Decisions
    outbound: Outbound
    effects: list[Effect] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    measures: list[Measure] = field(default_factory=list)
    agenda: Agenda = field(default_factory=Agenda)
    internal: list[Event] = field(default_factory=list)
    merged_projects: list[tuple[str, str]] = field(default_factory=list)
    providing: set[SubjectKey] = field(default_factory=set)

    def emit(self, effect: Effect) -> None:
        self.effects.append(effect)

    def touch(self, item: Item) -> None:
        """The item's situation may have changed: look at it again in this step, and draw its picture anew."""
        item.view = None
        if item.inside:
            self.agenda.add(item)

    def count(self, measure: Measure) -> None:
        self.measures.append(measure)

    def touch_needers(self, item: Item) -> None:
        """Whether the item fails, or is there at all, has changed for those in its pipeline that need it."""
        for each in self.state.records.needers_of(item.subject_key):
            if each.pipeline is item.pipeline:
                self.touch(each)

    def decide(self, subject: object, pipeline: str | None, code: Code, **values: object) -> None:
        decision = Decision(self.at, str(subject), pipeline, code, tuple(values.items()))
        self.decisions.append(decision)
        self.history.add(decision)

    def decide_verdict(self, subject: object, pipeline: str, verdict: Verdict) -> None:
        self.decide(subject, pipeline, verdict.code, **dict(verdict.values))
