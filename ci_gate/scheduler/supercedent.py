"""The supercedent manager (additions.md): what is published is the newest.

One queue for each branch or ref of a project. Its first item runs; of those that come meanwhile only the newest waits.
Items stand on nothing but their branch: such pipelines are for what has been merged.
"""

from __future__ import annotations

from ci_gate.model.change import Subject, SubjectKey
from ci_gate.scheduler import leaving
from ci_gate.scheduler.explain import Code
from ci_gate.scheduler.jobs import branch_for_filters
from ci_gate.scheduler.state import ChangeQueue, PipelineState
from ci_gate.scheduler.step import Step

RUNNING = 1  # so many items of a queue run at a time


def queue_for(pipeline: PipelineState, subject: Subject) -> ChangeQueue:
    """The queue of the subject's branch or ref; what a timer starts has one a project."""
    line = (subject.project, branch_for_filters(subject) or "")
    if line not in pipeline.by_line:
        queue = pipeline.new_queue(subject.project, RUNNING)
        queue.line = line
        pipeline.by_line[line] = queue
    return pipeline.by_line[line]


def make_way(step: Step, queue: ChangeQueue, newest: SubjectKey) -> None:
    """Whoever still waits leaves without a report."""
    for item in queue.items[RUNNING:]:
        step.decide(item.subject_key, item.pipeline.name, Code.OVERTAKEN, by=str(newest))
        leaving.withdraw(step, item)
