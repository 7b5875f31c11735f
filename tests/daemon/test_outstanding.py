"""What a restart has to do again."""

from __future__ import annotations

from ci_gate.daemon.outstanding import Outstanding
from ci_gate.model.report import Review
from ci_gate.scheduler.effects import SendReport
from ci_gate.scheduler.inputs import TimerFired

REVIEW = Review("gerrit", "p", "12", "3", "hello")


def test_a_report_was_tried_before_now_whatever_the_clock_of_its_machine_said():
    outstanding = Outstanding()
    outstanding.step(TimerFired(100.0, "x"), [SendReport(1, REVIEW)])
    outstanding.step(TimerFired(300.0, "x"), [SendReport(2, REVIEW)])
    outstanding.tried_before(200.0)
    assert [each.first_tried_at for each in outstanding] == [100.0, 200.0]
