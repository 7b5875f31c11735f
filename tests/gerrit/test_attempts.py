"""A server is never tried twice within a second, nor for minutes once it has sent us away (gerrit-wire.md 2)."""

from __future__ import annotations

import time

import pytest
from gerrit_parts import settings_for

from ci_gate.gerrit import attempts as module
from ci_gate.gerrit.attempts import ACCOUNT_PAUSE_S, Attempts
from ci_gate.gerrit.connection import AccountRefusedError, connect

HERE, THERE = ("here", 29418), ("there", 29418)


class Clock:
    """Time passes when somebody waits, and not otherwise."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def attempts(clock, monkeypatch):
    monkeypatch.setattr(module, "SPACING_S", 1.0)
    return Attempts(clock, clock.sleep)


def test_attempts_at_one_server_are_a_second_apart(attempts, clock):
    begun = []
    for _ in range(5):
        attempts.wait_for_turn(HERE)
        begun.append(clock.now)
    assert begun == [1000.0, 1001.0, 1002.0, 1003.0, 1004.0]


def test_those_who_ask_together_get_turns_one_after_the_other(attempts, clock, monkeypatch):
    waited = []
    monkeypatch.setattr(attempts, "_sleep", waited.append)  # time stands still
    for _ in range(4):
        attempts.wait_for_turn(HERE)
    assert waited == [1.0, 2.0, 3.0]


def test_another_server_does_not_wait(attempts, clock):
    attempts.wait_for_turn(HERE)
    attempts.wait_for_turn(THERE)
    assert clock.now == 1000.0


def test_an_account_that_was_sent_away_is_not_tried_for_five_minutes(attempts, clock):
    attempts.refused(HERE, "ci", "no such key")
    assert attempts.refusal(HERE, "ci") == "no such key"
    assert attempts.refusal(HERE, "other") is None
    assert attempts.refusal(THERE, "ci") is None
    clock.now += ACCOUNT_PAUSE_S
    assert attempts.refusal(HERE, "ci") is None


def test_one_that_was_let_in_is_welcome(attempts):
    attempts.refused(HERE, "ci", "no such key")
    attempts.succeeded(HERE, "ci")
    assert attempts.refusal(HERE, "ci") is None


def test_a_closed_door_is_not_knocked_at(gerrit):
    settings = settings_for(gerrit, user="nobody")
    with pytest.raises(AccountRefusedError):
        connect(settings)
    gerrit.stop()
    with pytest.raises(AccountRefusedError, match="does not let user nobody in"):
        connect(settings)


def test_connections_wait_for_their_turn(gerrit, monkeypatch):
    monkeypatch.setattr(module, "SPACING_S", 0.3)
    settings = settings_for(gerrit)
    slept = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        time.sleep(seconds)

    monkeypatch.setattr(module, "ATTEMPTS", Attempts(sleep=sleep))
    for _ in range(3):
        connect(settings).close()
    assert slept, "logging in takes less than that"
    assert all(0 < each <= 0.3 for each in slept)
