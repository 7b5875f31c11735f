"""What is told of builds on its way to the scheduler: with our own run times as estimates, else the worker's."""

from __future__ import annotations

import pytest
from gate_world import THE_LAYOUT, GateWorld

from ci_gate.daemon.builds import Builds
from ci_gate.model.build import BuildRequest, BuildUpdate


class Known:
    """Stands for the estimates: one for every job, or none."""

    def __init__(self, run_time_s: float | None) -> None:
        self.run_time_s = run_time_s

    def get(self, _job: str) -> float | None:
        return self.run_time_s


class Straight:
    """An inbox whose inputs are decided at once."""

    def __init__(self, world: GateWorld) -> None:
        self.world = world

    def put(self, make) -> None:
        self.world.step(make(self.world.at))


@pytest.mark.parametrize(("known_s", "shown_s"), [(None, 300.0), (60.0, 60.0)])
def test_a_workers_own_estimate_stays_where_there_is_no_history(known_s, shown_s):
    world = GateWorld(THE_LAYOUT)
    world.create("A", "demo/one")
    world.uploaded("A")
    uuid = world.requests["one", "A"]
    builds = Builds(Straight(world), Known(known_s))
    builds.launched(BuildRequest(uuid, "one", {}))
    for told in ({"number": 7}, {"estimate_s": 300.0}, {"number": 7, "url": "http://j/one/7/"}):
        builds.updated(BuildUpdate(uuid, started=True, **told))
    heads = [head for pipeline in world.scheduler.view().pipelines for queue in pipeline.queues for head in queue.heads]
    (shown,) = [job.build for head in heads for item in head for job in item.jobs]
    assert (shown.url, shown.estimate_s) == ("http://j/one/7/", shown_s)
