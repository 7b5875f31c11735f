"""How many items of a shared queue run jobs (scheduler.md 12, layout.md 5.9)."""

from __future__ import annotations

from ci_gate.model.layout import Window
from ci_gate.scheduler.state import ChangeQueue, PipelineState
from ci_gate.scheduler.step import Step

LINEAR = "linear"


def settle(step: Step, queue: ChangeQueue) -> None:
    """Members have come or gone, or the window has changed: who is in it now?"""
    wanted = min(queue.window, len(queue.items)) if queue.window else len(queue.items)
    while queue.active < wanted:
        item = queue.items[queue.active]
        item.active = True
        step.touch(item)
        queue.active += 1
    while queue.active > wanted:
        queue.active -= 1
        item = queue.items[queue.active]
        item.active = False
        step.touch(item)


def grow(step: Step, pipeline: PipelineState, queue: ChangeQueue) -> None:
    """The head of the queue was merged."""
    queue.window = grown(pipeline.pipeline.window, queue.window)
    settle(step, queue)


def shrink(step: Step, pipeline: PipelineState, queue: ChangeQueue) -> None:
    """An item left without being merged."""
    queue.window = shrunk(pipeline.pipeline.window, queue.window)
    settle(step, queue)


def grown(rules: Window, size: int) -> int:
    """0 is no limit, and stays so."""
    if not size:
        return size
    factor = rules.increase_factor
    larger = size + factor if rules.increase_type == LINEAR else size * factor
    return larger if rules.ceiling is None else min(larger, max(rules.ceiling, size))


def shrunk(rules: Window, size: int) -> int:
    if not size:
        return size
    factor = rules.decrease_factor
    return max(size - factor if rules.decrease_type == LINEAR else size // factor, rules.floor)
