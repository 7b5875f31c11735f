"""What a timer starts: one item for each project that has jobs in the pipeline (scheduler.md 15, layout.md 5.3.2)."""

from __future__ import annotations

from ci_gate.model.change import Periodic, PeriodicKey
from ci_gate.model.measures import EventTaken
from ci_gate.scheduler import entering
from ci_gate.scheduler.entering import Entry
from ci_gate.scheduler.explain import Code
from ci_gate.scheduler.step import Step

TIMER = "timer"


def tick(step: Step, timespec: str) -> None:
    """It is the time that a timer names. No filter is looked at but that one; requirements count."""
    state = step.state
    for pipeline in state.pipelines.values():
        if not any(each.trigger == TIMER and timespec in each.timespecs for each in pipeline.pipeline.triggers):
            continue
        for name in sorted(state.layout.projects):
            if state.layout.tree(name, pipeline.name):
                subject = Periodic(PeriodicKey(pipeline.pipeline.source, name))
                step.decide(subject.key, pipeline.name, Code.ACCEPTED, event=f"timer {timespec}", trigger=TIMER)
                step.count(EventTaken(TIMER))
                state.records.remember(subject)
                entering.enter(step, Entry(pipeline, subject.key))
