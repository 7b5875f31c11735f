"""Whoever stands by stands where the leader does, at every moment. The histories are those of the simulation."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from ci_gate.daemon.following import Follower
from ci_gate.daemon.recovery import recover
from ci_gate.scheduler.effects import CancelBuild, RecordRunTime
from ci_gate.store.estimates import FileEstimates
from ci_gate.store.journal import Journal

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "simulation"))

from recorded_world import RecordedWorld
from test_recovery import WITH_LATE_CANCELS


class FollowedWorld(RecordedWorld):
    """Followed from its first snapshot on, every few steps."""

    def __init__(self, address: str, seed: int, folder: Path) -> None:
        self.estimates = FileEstimates(folder)
        self.follower = Follower(Journal(address), self.estimates)
        super().__init__(address, seed)

    def _record(self, world, effects) -> None:
        super()._record(world, effects)
        if self.seq % 7 == 0:
            self.follower.follow()
            assert self.follower.seq == self.seq
            assert self.follower.view.pipelines == world.scheduler.view().pipelines


@pytest.mark.parametrize("seed", [3, WITH_LATE_CANCELS, 11])
def test_it_stands_as_a_restart_would(journal_address, tmp_path, seed):
    followed = FollowedWorld(journal_address, seed, tmp_path)
    standing, restarted = followed.follower.stand(), recover(followed.journal)
    assert standing.seq == restarted.seq == followed.seq
    assert json.dumps(standing.scheduler.snapshot()) == json.dumps(restarted.scheduler.snapshot())
    assert list(standing.outstanding) == list(restarted.outstanding)
    assert standing.unsure == [each for each in restarted.unsure if isinstance(each, CancelBuild)]
    followed.follower.close()


def test_effects_that_lack_their_outcome_are_known(journal_address, tmp_path):
    followed = FollowedWorld(journal_address, WITH_LATE_CANCELS, tmp_path)
    again = Follower(Journal(journal_address), followed.estimates)
    expected = list(recover(followed.journal).outstanding)
    assert any(isinstance(each, CancelBuild) for each in expected), "the history is not what it was; choose another"
    assert list(again.stand().outstanding) == expected
    again.close()


def test_run_times_are_kept_as_they_come_and_not_again(journal_address, tmp_path):
    followed = FollowedWorld(journal_address, 3, tmp_path)
    told = [
        (each.job, round(each.seconds, 3))
        for effects in followed.world.outputs
        for each in effects
        if isinstance(each, RecordRunTime) and each.succeeded and each.seconds > 0
    ]
    followed.follower.stand()
    file = tmp_path / "run-times.jsonl"
    kept = [tuple(json.loads(line)) for line in file.read_text().splitlines()]
    assert told, "the history is not what it was; choose another"
    assert kept == told
    again = Follower(Journal(journal_address), followed.estimates)
    again.stand()
    assert len(file.read_text().splitlines()) == len(told)
    again.close()
    followed.follower.close()


def test_before_there_is_anything_it_waits(journal_address, tmp_path):
    follower = Follower(Journal(journal_address), FileEstimates(tmp_path))
    follower.follow()
    assert follower.view.pipelines == ()
    assert follower.stand() is None
    follower.close()
