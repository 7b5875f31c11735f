"""Of all jobs with one mutex name, in all pipelines, one build runs at a time (scheduler.md 9.1)."""

from __future__ import annotations

from ci_gate.model.layout import Job
from ci_gate.scheduler.explain import Code
from ci_gate.scheduler.state import Item
from ci_gate.scheduler.step import Step


def take(step: Step, item: Item, job: Job, mutex: str) -> bool:
    """Whoever comes first in the walk gets it; the others are looked at again when it is given back."""
    holder = step.state.mutexes.get(mutex)
    if holder is None:
        step.state.mutexes[mutex] = (item, job.name)
        return True
    if holder == (item, job.name):
        return True
    waiters = step.state.mutex_waiters.setdefault(mutex, {})
    if item not in waiters:
        waiters[item] = None
        step.decide(item.subject_key, item.pipeline.name, Code.WAITS_FOR_MUTEX, job=job.name, mutex=mutex)
    return False


def release(step: Step, item: Item, job_name: str) -> None:
    # By its holder: a new layout may have given the job another mutex meanwhile.
    held = (item, job_name)
    mutex = next((name for name, holder in step.state.mutexes.items() if holder == held), None)
    if mutex is None:
        return
    del step.state.mutexes[mutex]
    for waiter in (*step.state.mutex_waiters.pop(mutex, {}), item):
        step.touch(waiter)


def forget(step: Step, item: Item) -> None:
    """The item waits for none any more."""
    for waiters in step.state.mutex_waiters.values():
        waiters.pop(item, None)
