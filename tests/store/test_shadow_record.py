"""The record of what a live system and its shadow said."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from ci_gate.store.journal import Entry, Journal, engine_for
from ci_gate.store.shadow import ShadowRecord


@pytest.fixture
def dburi(tmp_path):
    address = f"sqlite:///{tmp_path / 'journal.sqlite'}"
    journal = Journal(address)
    journal.open()
    journal.close()
    return address


def test_each_is_kept_once_and_read_in_order_of_time(dburi):
    record = ShadowRecord(dburi)
    record.add("b", 2.0, '"second"')
    record.add("a", 1.0, '"first"')
    record.add("a", 3.0, '"again"')
    record.add("c", 4.0, '"third"')
    assert list(record.between(0.0, 10.0)) == ['"first"', '"second"', '"third"']
    assert list(record.between(1.0, 4.0)) == ['"first"', '"second"']
    assert list(record.between(1.5, 10.0)) == ['"second"', '"third"']


def test_what_is_old_is_forgotten(dburi):
    record = ShadowRecord(dburi)
    record.add("a", 1.0, "1")
    record.add("b", 2.0, "2")
    record.trim(2.0)
    assert list(record.between(0.0, 10.0)) == ["2"]


def test_a_journal_from_before_there_were_shadows_gets_the_table_and_keeps_its_steps(dburi):
    journal = Journal(dburi)
    journal.append([Entry(1, 1.0, "TimerFired", "{}", "[]", "[]")], 1)
    journal.close()
    with engine_for(dburi).begin() as connection:
        connection.execute(text("DROP TABLE ci_gate_shadow"))
        connection.execute(text("UPDATE ci_gate_schema_version SET version_num = '0004'"))
    journal.open()
    assert [each.seq for each in journal.entries(0)] == [1]
    journal.close()
    record = ShadowRecord(dburi)
    record.add("a", 1.0, "1")
    assert list(record.between(0.0, 10.0)) == ["1"]
