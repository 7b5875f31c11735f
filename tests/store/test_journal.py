"""Steps, snapshots and layouts in a database."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Column, MetaData, Table, create_engine, text

from ci_gate.failpoints import VARIABLE
from ci_gate.store.journal import DeposedError, Entry, Journal, SnapshotRow, default_address
from ci_gate.store.marks import Mark, Marks
from ci_gate.store.migrate import NEWEST, SchemaError, version_of
from ci_gate.store.tables import VERSION_TABLE, metadata, progress


@pytest.fixture
def address(journal_address) -> str:
    return journal_address


@pytest.fixture
def journal(address):
    journal = Journal(address)
    journal.open()
    yield journal
    journal.close()


def entry(seq: int, at: float | None = None) -> Entry:
    return Entry(seq, float(seq) if at is None else at, "TimerFired", f'{{"n": {seq}}}', "[]", "[]")


def snapshot(seq: int) -> SnapshotRow:
    return SnapshotRow(seq, float(seq), "digest", f'{{"seq": {seq}}}')


def test_steps_come_back_in_order_after_any_of_them(journal):
    journal.append([entry(each) for each in range(1, 1203)], released=3)
    assert [each.seq for each in journal.entries(0)] == list(range(1, 1203))
    assert list(journal.entries(1200)) == [entry(1201), entry(1202)]
    assert journal.last_seq() == 1202
    assert journal.released() == 3


def test_of_steps_of_which_one_cannot_be_kept_none_is(journal):
    journal.append([entry(1)], released=0)
    with pytest.raises(Exception, match=r"(?i)unique"):
        journal.append([entry(2), entry(1)], released=1)
    assert journal.last_seq() == 1
    assert journal.released() == 0


def test_what_is_kept_is_there_for_the_next_connection(journal, address):
    journal.append([entry(1)], released=0)
    journal.keep_layout("digest", "layout")
    journal.keep_layout("digest", "layout")
    journal.keep_snapshot(snapshot(1))
    journal.close()
    again = Journal(address)
    again.open()
    assert again.last_seq() == 1
    assert again.layout("digest") == "layout"
    assert again.layout("other") is None
    assert again.last_snapshot() == snapshot(1)


def test_an_empty_journal_says_so(journal):
    assert journal.last_snapshot() is None
    assert journal.last_seq() == journal.released() == 0
    assert list(journal.entries(0)) == []


def test_old_steps_are_forgotten_once_a_snapshot_has_them(journal):
    journal.append([entry(each) for each in range(1, 11)], released=10)
    assert journal.trim(before=100.0) == 0
    for seq in (4, 8):
        journal.keep_snapshot(snapshot(seq))
    assert journal.trim(before=6.0) == 5
    assert [each.seq for each in journal.entries(0)] == [6, 7, 8, 9, 10]
    assert journal.last_snapshot() == snapshot(8)
    assert journal.trim(before=100.0) == 3
    assert [each.seq for each in journal.entries(8)] == [9, 10]
    assert journal.last_seq() == 10


def test_the_oldest_steps_are_forgotten_if_all_are_too_many(journal):
    large = [replace(entry(each, at=each * 2000.0), effects="x" * 1000) for each in range(1, 1001)]
    journal.append(large, released=0)
    for seq in (200, 900):
        journal.keep_snapshot(snapshot(seq))
    assert journal.trim(before=0.0, most_bytes=10**9) == 0
    gone = journal.trim(before=0.0, most_bytes=520_000)
    assert 470 < gone < 530
    assert next(iter(journal.entries(0))).seq == gone + 1
    assert journal.last_snapshot() == snapshot(900)
    assert journal.trim(before=0.0, most_bytes=520_000) <= 10, "once is enough"
    journal.trim(before=0.0, most_bytes=1)
    assert [each.seq for each in journal.entries(0)] == list(range(901, 1001)), "what no snapshot has stays"


def test_what_is_committed_is_synced_to_the_disk(tmp_path):
    journal = Journal(default_address(tmp_path))
    with journal._connection.begin():
        assert journal._connection.scalar(text("PRAGMA journal_mode")) == "wal"
        assert journal._connection.scalar(text("PRAGMA synchronous")) == 2


def test_the_migrations_make_the_tables_that_the_program_means(journal, address):
    with create_engine(address).connect() as connection:
        assert version_of(connection) == NEWEST
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, "compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_tables_are_made_as_a_whole_or_not_at_all(address):
    program = f"from ci_gate.store.journal import Journal; Journal({address!r}).open()"
    environment = {**os.environ, VARIABLE: "migration.before-commit"}
    killed = subprocess.run([sys.executable, "-c", program], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    again = Journal(address)
    again.open()
    assert again.last_seq() == 0
    again.close()


def test_a_journal_of_a_newer_version_is_refused(journal, address):
    with journal._connection.begin():
        journal._connection.execute(
            Table(VERSION_TABLE, MetaData(), Column("version_num")).update(), {"version_num": "9"}
        )
    with pytest.raises(SchemaError, match="written by a newer ci-gate"):
        Journal(address).open()


def test_inputs_of_a_kind_come_from_a_time_on(journal):
    journal.append([entry(each) for each in range(1, 1203)], released=0)
    assert list(journal.inputs("TimerFired", 1200.0)) == [entry(each).input for each in (1200, 1201, 1202)]
    assert len(list(journal.inputs("TimerFired", 2.0))) == 1201
    assert list(journal.inputs("EventReceived", 0.0)) == []


def test_a_mark_is_kept_until_another_takes_its_place(address, journal):
    marks = Marks(address)
    assert marks.load("gerrit") is None
    marks.keep("gerrit", Mark(1.0, 2.0, {"org/app": {"refs/heads/master": "a" * 40}}))
    marks.keep("other", Mark(1.0, 3.0))
    marks.keep("gerrit", Mark(1.0, 4.0, {"org/app": {"refs/heads/master": "b" * 40}}))
    assert marks.load("gerrit") == Mark(1.0, 4.0, {"org/app": {"refs/heads/master": "b" * 40}})
    assert marks.load("other") == Mark(1.0, 3.0)


def test_steps_of_an_epoch_that_is_over_are_not_kept(journal, address):
    journal.append([entry(1)], released=0)
    with journal._connection.begin():
        journal._connection.execute(progress.update().values(epoch=4))
    with pytest.raises(DeposedError, match="the epoch is 4, ours was 0"):
        journal.append([entry(2)], released=1)
    assert (journal.last_seq(), journal.released()) == (1, 0)
    Journal(address, epoch=4).append([entry(2)], released=1)
    assert (journal.last_seq(), journal.released()) == (2, 1)


def test_what_waits_is_there_until_it_is_forgotten(journal):
    journal.keep_waiting("events", "one")
    journal.keep_waiting("events", "two")
    assert journal.waiting("other") is None
    for _ in range(2):
        assert journal.waiting("events") == "two"
    journal.forget_waiting("events")
    assert journal.waiting("events") is None


def test_steps_are_found_backwards_by_kind_and_by_effect(journal):
    asked = [Entry(each, 1.0, "Other", "{}", "[]", '[{"_type": "Merge"}]') for each in range(2, 602)]
    journal.append([entry(1), *asked, entry(602), Entry(603, 1.0, "Other", "{}", "[]", "[]")], released=0)
    found = [each.seq for each in journal.backwards(kind="TimerFired", effect='"_type": "Merge"')]
    assert found == list(range(602, 0, -1))
    assert [each.seq for each in journal.backwards(kind="Other", effect="_type_")] == [603, *range(601, 1, -1)]


def test_tables_of_another_version_are_told_and_left_alone(address):
    journal = Journal(address)
    assert not journal.is_of_this_version()
    journal.open()
    assert journal.is_of_this_version()
    journal.close()
    assert Journal(address).is_of_this_version()
