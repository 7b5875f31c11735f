"""What a restart has to do again: launches with what is known of them, and cancels that may not have got through."""

from __future__ import annotations

import pytest

from ci_gate.daemon import outstanding
from ci_gate.daemon.outstanding import CANCELS_KEPT_S, Outstanding
from ci_gate.model.build import Begun, BuildEnd, BuildRequest, BuildUpdate
from ci_gate.model.report import Review
from ci_gate.scheduler.codec import decode, encode
from ci_gate.scheduler.effects import CancelBuild, Effect, LaunchBuild, SendReport
from ci_gate.scheduler.inputs import BuildEnded, BuildUpdated, TimerFired

REVIEW = Review("gerrit", "p", "12", "3", "hello")


def request(uuid: str) -> BuildRequest:
    return BuildRequest(uuid, "unit", {"ZUUL_UUID": uuid})


@pytest.fixture
def begun() -> Outstanding:
    """One build, launched at 1."""
    made = Outstanding()
    made.step(TimerFired(1.0, "t"), [LaunchBuild(request("a"))])
    return made


def after_a_restart(made: Outstanding) -> Outstanding:
    return Outstanding(decode(encode(each, Effect), Effect) for each in made)


def test_a_launch_is_repeated_with_the_number_that_its_worker_told(begun):
    begun.step(BuildUpdated(2.0, BuildUpdate("a", manager="m")), [])
    assert list(begun) == [LaunchBuild(request("a"))]
    begun.step(BuildUpdated(3.0, BuildUpdate("a", started=True, number=7, manager="m")), [])
    begun.step(BuildUpdated(4.0, BuildUpdate("a", started=True, estimate_s=3.0)), [])
    assert list(after_a_restart(begun)) == [LaunchBuild(request("a"), Begun("m", 7))]


def test_a_second_number_takes_the_place_of_the_first(begun):
    begun.step(BuildUpdated(3.0, BuildUpdate("a", started=True, number=7, manager="m")), [])
    begun.step(BuildUpdated(3.0, BuildUpdate("a", started=True, number=8)), [])
    assert list(begun) == [LaunchBuild(request("a"), Begun("m", 8))]


def test_a_cancel_is_repeated_after_its_launch_for_some_time(begun):
    begun.step(BuildUpdated(3.0, BuildUpdate("a", started=True, number=7, manager="m")), [])
    begun.step(TimerFired(5.0, "t"), [CancelBuild("a")])
    expected = [LaunchBuild(request("a"), Begun("m", 7)), CancelBuild("a", first_tried_at=5.0)]
    assert list(begun) == expected
    again = after_a_restart(begun)
    assert list(again) == expected
    again.step(TimerFired(5.0 + CANCELS_KEPT_S, "t"), [])
    assert list(again) == expected
    again.step(TimerFired(5.1 + CANCELS_KEPT_S, "t"), [])
    assert list(again) == []


def test_the_cancel_of_a_build_that_has_ended_is_not_repeated(begun):
    begun.step(BuildEnded(2.0, BuildEnd("a", "SUCCESS")), [])
    begun.step(TimerFired(3.0, "t"), [CancelBuild("a")])
    assert list(begun) == []


def test_many_cancels_at_once_do_not_grow_without_end(monkeypatch):
    monkeypatch.setattr(outstanding, "MOST_CANCELS", 2)
    made = Outstanding()
    made.step(TimerFired(1.0, "t"), [LaunchBuild(request(each)) for each in "abc"])
    made.step(TimerFired(2.0, "t"), [CancelBuild(each) for each in "abc"])
    assert [each.uuid for each in made if isinstance(each, CancelBuild)] == ["b", "c"]
    assert [each.request.uuid for each in made if isinstance(each, LaunchBuild)] == ["b", "c"]


def test_a_report_was_tried_before_now_whatever_the_clock_of_its_machine_said():
    outstanding = Outstanding()
    outstanding.step(TimerFired(100.0, "x"), [SendReport(1, REVIEW)])
    outstanding.step(TimerFired(300.0, "x"), [SendReport(2, REVIEW)])
    outstanding.tried_before(200.0)
    assert [each.first_tried_at for each in outstanding] == [100.0, 200.0]
