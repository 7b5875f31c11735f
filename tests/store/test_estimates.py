"""Estimates of run times, ours and the ones that a Zuul left behind."""

from __future__ import annotations

import struct

from ci_gate.store.estimates import FileEstimates


def test_without_history_nothing_is_estimated(tmp_path):
    assert FileEstimates(tmp_path).get("unit") is None


def test_the_estimate_is_the_mean_of_the_last_ten_successful_runs(tmp_path):
    estimates = FileEstimates(tmp_path)
    for seconds in range(1, 13):
        estimates.add("unit", float(seconds), succeeded=True)
    estimates.add("unit", 1000.0, succeeded=False)
    assert estimates.get("unit") == sum(range(3, 13)) / 10


def test_run_times_are_there_after_a_restart_and_may_be_longer_than_a_day(tmp_path):
    FileEstimates(tmp_path).add("soak / long:job", 100_000.0, succeeded=True)
    assert FileEstimates(tmp_path).get("soak / long:job") == 100_000.0


def test_a_torn_line_is_passed_over(tmp_path):
    FileEstimates(tmp_path).add("unit", 5.0, succeeded=True)
    with (tmp_path / "run-times.jsonl").open("a") as file:
        file.write('["unit", 7\n[]\n{"a": 1}\n')
    assert FileEstimates(tmp_path).get("unit") == 5.0


def test_outdated_lines_are_dropped_at_a_start(tmp_path):
    estimates = FileEstimates(tmp_path)
    for _ in range(50):
        estimates.add("unit", 5.0, succeeded=True)
    FileEstimates(tmp_path)
    assert len((tmp_path / "run-times.jsonl").read_text().splitlines()) == 10


def test_the_times_folder_of_a_zuul_is_read_and_left_alone(tmp_path):
    folder = tmp_path / "times"
    folder.mkdir()
    record = struct.pack("<Bx10H10H10B", 0, *[0] * 7, 10, 20, 30, *[99] * 10, *[0] * 10)
    assert len(record) == 52
    (folder / "unit").write_bytes(record)
    (folder / "torn").write_bytes(record[:20])
    estimates = FileEstimates(tmp_path)
    assert estimates.get("unit") == 20.0
    assert estimates.get("torn") is None
    estimates.add("unit", 60.0, succeeded=True)
    assert FileEstimates(tmp_path).get("unit") == 30.0
    assert (folder / "unit").read_bytes() == record
