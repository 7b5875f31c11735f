"""The texts of reports, byte for byte (outputs.md 2)."""

from __future__ import annotations

import pytest

from ci_gate.model.item import BuildView, JobView
from ci_gate.model.layout import Job, Pipeline
from ci_gate.model.merge import MergeAnswer, MergeOutcome
from ci_gate.model.options import SchedulerSettings
from ci_gate.scheduler import messages

PLAIN = SchedulerSettings()
PIPELINE = Pipeline("check")


def ran(name: str = "unit", result: str = "SUCCESS", took: float | None = 125.9, **job: object) -> JobView:
    ended = None if took is None else 1000.0 + took
    started = None if took is None else 1000.0
    build = BuildView("u" * 32, name, result, started_at=started, ended_at=ended)
    return JobView(Job(name, **job), build, f"https://logs.acme.test/{name}")


def test_a_success_lists_its_jobs_below_an_empty_line():
    text = messages.success_text(PIPELINE, [ran("lint", took=5.0), ran()], PLAIN)
    assert text == (
        "Build succeeded.\n\n"
        "- https://logs.acme.test/lint : SUCCESS in 5s\n"
        "- https://logs.acme.test/unit : SUCCESS in 2m 05s\n"
    )


def test_a_failure_has_its_own_first_line_and_marks_what_does_not_vote():
    jobs = [ran(result="FAILURE"), ran("perf", "FAILURE", 5.0, voting=False)]
    assert messages.failure_text(PIPELINE, jobs, PLAIN) == (
        "Build failed.\n\n"
        "- https://logs.acme.test/unit : FAILURE in 2m 05s\n"
        "- https://logs.acme.test/perf : FAILURE in 5s (non-voting)\n"
    )


def test_the_jobs_name_is_shown_on_request():
    line = messages.job_line(ran(), SchedulerSettings(job_name_in_report=True))
    assert line == "- unit https://logs.acme.test/unit : SUCCESS in 2m 05s\n"


def test_times_can_be_left_out_and_are_where_they_are_not_known():
    assert messages.job_line(ran(), SchedulerSettings(report_times=False)).endswith(" : SUCCESS\n")
    assert messages.job_line(ran(result="NOT_REGISTERED", took=None), PLAIN).endswith(" : NOT_REGISTERED\n")


@pytest.mark.parametrize(
    ("result", "shown"), [("SUCCESS", "fine"), ("FAILURE", "known flake"), ("ABORTED", "ABORTED"), ("LOST", "LOST")]
)
def test_a_jobs_own_words_stand_for_success_and_failure_only(result, shown):
    view = ran(result=result, took=5.0, success_message="fine", failure_message="known flake")
    assert messages.job_line(view, PLAIN) == f"- https://logs.acme.test/unit : {shown} in 5s\n"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0s"), (0.99, "0s"), (59.99, "59s"), (60, "1m 00s"), (125, "2m 05s"), (3599, "59m 59s"), (3723, "1h 02m 03s")],
)
def test_durations_are_whole_seconds_cut_off(seconds, shown):
    assert messages.duration(seconds) == shown


def test_a_clock_that_went_back_is_no_negative_time():
    assert messages.duration(-3.0) == "0s"


def test_what_the_gate_itself_knows_follows_the_job_lines():
    build = BuildView("u" * 32, "unit", "EXCEPTION", reason="set_log_url: KeyError:\n 'node'")
    text = messages.failure_text(PIPELINE, [JobView(Job("unit"), build, "unit"), ran("lint")], PLAIN)
    assert text == (
        "Build failed.\n\n"
        "- unit : EXCEPTION\n"
        "- https://logs.acme.test/lint : SUCCESS in 2m 05s\n"
        "\n"
        "unit: set_log_url: KeyError: 'node'\n"
    )


def test_a_footer_ends_every_text():
    pipeline = Pipeline("check", footer_message="See https://ci.acme.test")
    assert messages.success_text(pipeline, [ran()], PLAIN).endswith("in 2m 05s\n\nSee https://ci.acme.test")
    assert messages.merge_failure_text(pipeline).endswith("\nSee https://ci.acme.test")
    assert messages.start_text(pipeline, PLAIN) == "Starting check jobs.\nSee https://ci.acme.test"


def test_the_start_names_the_pipeline_and_where_to_look():
    options = SchedulerSettings(status_url="https://ci.acme.test/")
    assert messages.start_text(PIPELINE, options) == "Starting check jobs.\nhttps://ci.acme.test/"


def test_a_conflict_has_the_first_line_that_dashboards_know():
    assert messages.merge_failure_text(PIPELINE).startswith("Merge Failed.\n\n")
    assert messages.merge_failure_text(Pipeline("check", merge_failure_message="rebase")) == "rebase"


def test_a_merge_failure_names_the_files_that_conflict():
    pipeline = Pipeline("check", merge_failure_message="rebase", footer_message="See https://ci.acme.test")
    text = messages.merge_failure_text(pipeline, ("a", "b c"))
    assert text == "rebase\n\nConflicting files:\n- a\n- b c\nSee https://ci.acme.test"


def test_a_merge_failure_does_not_list_files_without_end():
    paths = [f"f{number}" for number in range(23)]
    lines = messages.merge_failure_text(PIPELINE, paths).splitlines()
    assert lines[-2:] == ["- f19", "and 3 more"]


@pytest.mark.parametrize("outcome", [each for each in MergeOutcome if each is not MergeOutcome.MERGED])
def test_a_technical_problem_is_never_taken_for_a_conflict(outcome):
    text = messages.technical_failure_text(PIPELINE, MergeAnswer("Z", outcome))
    assert text.startswith("This change was not tested: ")
    assert "Merge Failed" not in text
