"""Whenever the leader is lost, the one that follows stands where it stood, and everything comes to its end."""

from __future__ import annotations

import pytest
from failing_over import FailingOverWorld
from simulate import come_to_an_end, history

from ci_gate.scheduler.effects import SendReport
from ci_gate.scheduler.inputs import ReportAnswered


@pytest.mark.parametrize("seed", range(8))
def test_histories_with_failovers_keep_all_invariants(tmp_path, seed):
    world = FailingOverWorld(f"sqlite:///{tmp_path / 'journal.sqlite'}", tmp_path, seed)
    for what, which in history(seed, 150):
        world.act(what, which)
    assert world.failovers
    come_to_an_end(world)
    sent = {each.report_id for effects in world.outputs for each in effects if isinstance(each, SendReport)}
    assert sent == {each.report for each in world.inputs if isinstance(each, ReportAnswered)}
    world.close()
