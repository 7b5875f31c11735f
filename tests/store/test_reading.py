"""A journal is read beside its writer, and cannot be changed by who reads."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import DBAPIError

from ci_gate.store.journal import Entry, Journal, SnapshotRow
from ci_gate.store.migrate import SchemaError
from ci_gate.store.reading import JournalReader, NoJournalError


def entry(seq: int) -> Entry:
    return Entry(seq, float(seq), "TimerFired", "{}", "[]", "[]")


@pytest.fixture
def journal(dburi):
    journal = Journal(dburi)
    journal.open()
    yield journal
    journal.close()


@pytest.fixture
def reader(journal, dburi):
    reader = JournalReader(dburi)
    yield reader
    reader.close()


def test_reading_goes_on_while_steps_are_written(journal, reader):
    journal.append([entry(each) for each in range(1, 1001)], released=0)
    read = reader.entries(0)
    assert next(read).seq == 1
    journal.append([entry(1001)], released=0)
    assert journal.trim(before=0.0) == 0
    assert [each.seq for each in read] == list(range(2, 1002))


def test_a_writer_in_the_middle_of_a_step_holds_no_reader_up(journal, reader):
    journal.append([entry(1)], released=0)
    with journal._connection.begin():
        journal._note("released", 1)  # a write that is not committed yet
        assert [each.seq for each in reader.entries(0)] == [1]
        assert reader.released() == 0


def test_a_reader_cannot_write(journal, reader):
    for write in (
        lambda: reader.append([entry(1)], released=0),
        lambda: reader.keep_snapshot(SnapshotRow(1, 1.0, "digest", "{}")),
        lambda: reader.trim_history(1e12),
    ):
        with pytest.raises(DBAPIError, match=r"read-?only"):
            write()
    assert journal.last_seq() == 0


def test_a_replay_begins_only_where_all_steps_follow(journal, reader):
    assert reader.snapshots() == []
    journal.append([entry(each) for each in range(1, 11)], released=10)
    for seq in (2, 5, 8):
        journal.keep_snapshot(SnapshotRow(seq, 100.0, "digest", f"{seq}"))
    assert reader.snapshots() == [2, 5, 8]
    journal.trim(before=5.0)
    assert reader.snapshots() == [5, 8], "of the first the steps after it are gone"
    journal.trim(before=50.0)
    assert reader.snapshots() == [8]
    assert reader.snapshot(8) == SnapshotRow(8, 100.0, "digest", "8")
    assert reader.snapshot(3) is None
    assert (reader.first_seq_at(9.5), reader.first_seq_at(11.0)) == (10, None)


def test_a_database_without_a_journal_says_so_and_gets_no_tables(dburi):
    for _ in range(2):
        with pytest.raises(NoJournalError, match="no service has run"):
            JournalReader(dburi).open()


def test_a_journal_of_a_newer_version_is_not_read(journal, dburi):
    with journal._connection.begin():
        journal._connection.exec_driver_sql("UPDATE ci_gate_schema_version SET version_num = '9'")
    with pytest.raises(SchemaError, match="newer ci-gate"):
        JournalReader(dburi).open()
