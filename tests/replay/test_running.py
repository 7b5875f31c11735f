"""The record decided once more: the same decisions, from any time on, whatever else goes on in the journal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from recorded_parts import RecordedHistory, RecordedScript, World, write_config
from scripted_world import check_pipeline, layout, project
from sqlalchemy import update
from sqlalchemy.exc import DatabaseError

from ci_gate.replay.running import NothingRecordedError, OtherMemory, Span, run, segments
from ci_gate.replay.telling import Teller
from ci_gate.scheduler.effects import SendReport
from ci_gate.scheduler.scheduler import Scheduler
from ci_gate.store.journal import Entry, Journal, default_address
from ci_gate.store.reading import JournalReader, NoJournalError
from ci_gate.store.tables import journal as journal_table
from ci_gate.store.tables import snapshots as snapshot_table

ROOT = Path(__file__).parent.parent.parent
SEEDS = [3, 4, 11, 5600]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> RecordedHistory:
    return RecordedHistory(tmp_path_factory.mktemp("journal"), 3)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_decision_is_made_again_and_every_effect_is_the_recorded_one(tmp_path, seed):
    recorded = RecordedHistory(tmp_path, seed)
    steps = list(run(JournalReader(recorded.address), Span()))
    assert not [each for each in steps if isinstance(each, OtherMemory)]
    assert [each.step.entry.seq for each in steps] == list(range(1, recorded.seq + 1))
    assert all(each.step.as_recorded for each in steps)
    told = [[(one.subject, one.pipeline, one.text) for one in each.decisions] for each in steps]
    assert told == [[(one.subject, one.pipeline, one.text) for one in each] for each in recorded.decisions]


def test_a_span_begins_at_the_newest_snapshot_before_it_and_ends_with_it(recorded):
    source = JournalReader(recorded.address)
    known = source.snapshots()
    assert len(known) == 3
    entries = list(source.entries(0))
    begin = next(each for each in entries if each.seq == known[1] + 7)
    end = next(each for each in entries if each.seq == begin.seq + 20)
    span = Span(begin.at, end.at)
    assert segments(source, span)[0] < begin.seq
    expected = [each.seq for each in entries if begin.at <= each.at <= end.at]
    assert expected
    assert [each.step.entry.seq for each in run(source, span) if not isinstance(each, OtherMemory)] == expected


def test_a_span_after_the_last_step_and_one_before_the_first_are_empty(recorded):
    source = JournalReader(recorded.address)
    assert list(run(source, Span(since=1e12))) == []
    assert list(run(source, Span(until=1.0))) == []


def test_of_a_trimmed_journal_what_is_left_is_replayed(tmp_path):
    recorded = RecordedHistory(tmp_path, 4)
    entries = list(recorded.journal.entries(0))
    at = entries[len(entries) // 2].at
    assert recorded.journal.trim(before=at)
    source = JournalReader(recorded.address)
    left = next(source.entries(0)).seq
    start, *_ = source.snapshots()
    assert start >= left - 1
    steps = list(run(source, Span()))
    assert [each.step.entry.seq for each in steps] == list(range(start + 1, recorded.seq + 1))


def test_another_decision_than_the_recorded_one_is_told_with_both(tmp_path):
    recorded = RecordedHistory(tmp_path, 3)
    changed = next(each for each in recorded.journal.entries(0) if '"QueryChange"' in each.effects)
    with recorded.journal._connection.begin():  # what another version might have done
        effects = changed.effects.replace('"number": "', '"number": "9', 1)
        recorded.journal._connection.execute(
            update(journal_table).where(journal_table.c.seq == changed.seq).values(effects=effects)
        )
    teller = Teller(as_json=True)
    lines = [json.loads(each) for each in teller.lines(run(JournalReader(recorded.address), Span()))]
    (told,) = [each for each in lines if "difference" in each]
    assert told["seq"] == changed.seq
    (was,), (is_now,) = told["difference"]["recorded"], told["difference"]["decided"]
    assert was["number"] == "9" + is_now["number"]
    assert teller.differences == 1
    text = "\n".join(Teller(as_json=False).lines(run(JournalReader(recorded.address), Span())))
    assert f"step {changed.seq} (" in text
    assert "    recorded  {" in text
    assert "    now       {" in text


def test_what_the_service_remembered_counts_where_a_replay_remembers_something_else(tmp_path):
    recorded = RecordedHistory(tmp_path, 3)
    source = JournalReader(recorded.address)
    middle = source.snapshots()[1]
    body = json.loads(source.snapshot(middle).body)
    body["scheduler"]["items_entered"] += 1000
    with recorded.journal._connection.begin():  # as another version might have counted
        recorded.journal._connection.execute(
            update(snapshot_table).where(snapshot_table.c.seq == middle).values(body=json.dumps(body))
        )
    told = [each.seq for each in run(source, Span()) if isinstance(each, OtherMemory)]
    assert middle in told


def test_a_journal_is_read_while_it_is_written_and_cannot_be_changed(tmp_path):
    recorded = RecordedHistory(tmp_path, 3)
    source = JournalReader(recorded.address)
    steps = run(source, Span())
    first = next(steps)
    entry = Entry(recorded.seq + 1, 9e9, "TimerFired", '{"at": 9e9, "timer": "report:999999"}', "[]", "[]")
    recorded.journal.append([entry], released=0)
    assert [first, *steps][-1].step.entry.seq == recorded.seq, "what comes later is for the next replay"
    with pytest.raises(DatabaseError, match="readonly"):
        source.append([entry], released=0)


def test_where_nothing_was_recorded_that_is_said(tmp_path):
    source = JournalReader(default_address(tmp_path))
    with pytest.raises(NoJournalError):
        source.open()
    journal = Journal(default_address(tmp_path))
    journal.open()
    with pytest.raises(NothingRecordedError):
        list(run(source, Span()))


@pytest.mark.parametrize("form", ["text", "json"])
def test_fresh_processes_print_the_same_byte_for_byte(tmp_path, form):
    recorded = RecordedHistory(tmp_path, 5600)
    config = write_config(tmp_path)

    def printed(seed: str) -> bytes:
        command = [sys.executable, "-m", "ci_gate", "replay", "-c", str(config), "--format", form]
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        ended = subprocess.run(command, env=environment, capture_output=True, check=False)
        assert ended.returncode == 0, ended.stderr.decode()
        assert "every effect is the one that was recorded" in ended.stderr.decode()
        return ended.stdout

    once, again = printed("1"), printed("4711")
    assert once == again
    assert once.count(b"\n") == sum(len(each) for each in recorded.decisions)


def test_only_decisions_about_a_change_are_printed(recorded):
    subjects = {each for decisions in recorded.decisions for each in (one.subject for one in decisions)}
    number = next(each.partition(",")[0] for each in sorted(subjects) if "," in each)
    teller = Teller(as_json=True, subject=number)
    told = {json.loads(each)["subject"] for each in teller.lines(run(JournalReader(recorded.address), Span()))}
    assert told == {each for each in subjects if each.partition(",")[0] == number}


def test_the_settings_of_each_start_count_from_there_on(tmp_path):
    made = layout(check_pipeline(), projects=(project("demo/one", check=["one"]),))
    recorded = RecordedScript(tmp_path, World(made))
    first = recorded.world
    first.upload("A")
    first.ends("one", "A")
    named = replace(first.options, job_name_in_report=True)
    second = World(made, options=named)
    second.scheduler = Scheduler.restore(made, first.scheduler.snapshot(), options=named, oracle=second.oracle)
    recorded.options = named
    recorded.go_on_with(second)
    second.upload("B")
    second.ends("one", "B")
    steps = list(run(JournalReader(recorded.address), Span()))
    assert not [each for each in steps if isinstance(each, OtherMemory)]
    assert all(each.step.as_recorded for each in steps)
    reports = [
        one.report.message
        for each in steps
        for one in each.step.decided
        if isinstance(one, SendReport) and "- " in one.report.message
    ]
    assert ["- one one " in each for each in reports] == [False, True]
