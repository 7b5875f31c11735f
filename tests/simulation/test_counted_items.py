"""The gauges of items are what stands in the pipelines, whatever happens and however often layouts change."""

from __future__ import annotations

import pytest
from simulate import history
from simulated_layouts import random_layouts
from simulated_world import SimulatedWorld

from ci_gate.daemon.metrics import Metrics
from ci_gate.scheduler.effects import AnswerCommand
from ci_gate.scheduler.inputs import LayoutReplaced


class Gauges:
    """Stands for statsd: the last value of each gauge, and how many items have left."""

    def __init__(self) -> None:
        self.values: dict[str, int] = {}
        self.sent = 0

    def gauge(self, name: str, value: int) -> None:
        self.sent += 1
        self.values[name] = value

    def incr(self, name: str) -> None:
        pass

    def timing(self, name: str, milliseconds: int) -> None:
        assert milliseconds >= 0


@pytest.mark.parametrize("seed", range(20))
def test_gauges_agree_with_what_is_inside_after_every_step(seed):
    gauges = Gauges()
    metrics = Metrics(gauges)

    def check(world: SimulatedWorld, effects: list) -> None:
        metrics.count(world.scheduler.last_measures)
        view = world.scheduler.view()
        if isinstance(world.inputs[-1], LayoutReplaced):
            assert any(isinstance(each, AnswerCommand) for each in effects)
            metrics.loaded(view.pipelines)
        inside = {
            f"zuul.pipeline.{each.name}.current_changes": sum(
                len(head) for queue in each.queues for head in queue.heads
            )
            for each in view.pipelines
        }
        assert {name: value for name, value in gauges.values.items() if value} == {
            name: value for name, value in inside.items() if value
        }

    world = SimulatedWorld(random_layouts(seed), check)
    metrics.loaded(world.scheduler.view().pipelines)
    for what, which in history(seed):
        world.act(what, which)
    world.come_to_rest()
    assert not any(gauges.values.values())
    assert gauges.sent > len(gauges.values)
