"""When a merger need not look where a branch stands."""

from __future__ import annotations

import pytest

from ci_gate.daemon.tips import TRUSTED_S, BranchTips
from ci_gate.model.event import Event
from ci_gate.model.merge import MergeAnswer, MergeMode, MergeOutcome, MergeRequest

REQUEST = MergeRequest("Z1", "gerrit", "p", "master", "refs/changes/01/1/1", "1", "1", MergeMode.MERGE_RESOLVE)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0
        self.complete_since: float | None = 900.0


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def tips(clock):
    return BranchTips(lambda _: clock.complete_since, lambda: clock.now)


def updated(ref: str, newrev: str) -> Event:
    return Event("ref-updated", "gerrit", "p", ref=ref, oldrev="0", newrev=newrev)


def answer(tip: str | None) -> MergeAnswer:
    return MergeAnswer("Z1", MergeOutcome.MERGED, commit="c", tip=tip)


@pytest.mark.parametrize("ref", ["master", "refs/heads/master"])
def test_an_update_of_a_branch_tells_its_tip(tips, ref):
    tips.take(updated(ref, "new"))
    assert tips.tip("gerrit", "p", "master") == "new"
    assert tips.tip("gerrit", "p", "stable") is None


@pytest.mark.parametrize("ref", ["refs/tags/master", "refs/changes/01/1/1", "refs/meta/config"])
def test_other_refs_are_no_branches(tips, ref):
    tips.take(updated(ref, "new"))
    assert tips.tip("gerrit", "p", ref.rpartition("/")[2]) is None


def test_while_the_stream_is_down_nothing_is_known(tips, clock):
    tips.take(updated("master", "new"))
    clock.complete_since = None
    assert tips.tip("gerrit", "p", "master") is None


def test_what_was_known_before_the_stream_was_down_does_not_count(tips, clock):
    tips.take(updated("master", "new"))
    clock.complete_since = 1001.0
    assert tips.tip("gerrit", "p", "master") is None


def test_what_was_not_heard_of_for_long_is_looked_at_again(tips, clock):
    tips.take(updated("master", "new"))
    clock.now += TRUSTED_S + 1
    assert tips.tip("gerrit", "p", "master") is None


def test_a_merger_that_looked_tells_the_tip(tips):
    tips.learn(REQUEST, answer("seen"), asked_at=999.0)
    assert tips.tip("gerrit", "p", "master") == "seen"


def test_a_merger_that_did_not_look_tells_nothing(tips):
    tips.learn(REQUEST, answer(None), asked_at=999.0)
    assert tips.tip("gerrit", "p", "master") is None


def test_an_event_that_came_after_the_question_knows_better(tips):
    tips.take(updated("master", "new"))
    tips.learn(REQUEST, answer("old"), asked_at=999.0)
    assert tips.tip("gerrit", "p", "master") == "new"
