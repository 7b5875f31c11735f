"""Builds that have ended: kept once however often they are written, found newest first, forgotten when they are old."""

from __future__ import annotations

import pytest
from past_parts import build, past
from sqlalchemy import create_engine, func, select

from ci_gate.store.journal import Journal
from ci_gate.store.migrate import SchemaError
from ci_gate.store.reading import NoJournalError, reading_engine
from ci_gate.store.searching import Wanted, find_builds
from ci_gate.store.tables import past_build_sets, past_builds, past_items


@pytest.fixture
def journal(dburi):
    journal = Journal(dburi)
    journal.open()
    yield journal
    journal.close()


def found(dburi: str, **wanted) -> list[dict]:
    return find_builds(reading_engine(dburi), Wanted(**wanted))


def jobs(dburi: str, **wanted) -> list[str]:
    return [each["job_name"] for each in found(dburi, **wanted)]


def counts(dburi: str) -> tuple[int, ...]:
    with create_engine(dburi).connect() as connection:
        tables = (past_items, past_build_sets, past_builds)
        return tuple(connection.scalar(select(func.count()).select_from(each)) for each in tables)


def test_a_build_has_what_zuuls_database_has_and_where_it_ran(journal, dburi):
    ran = build(
        node_name="node-1", node_labels=("trusty", "big"), worker="w1", worker_host="h1", launched_at=99.0, number=7
    )
    journal.keep_history([past(12, ran, message="Build succeeded.", score=1)], upto=5)
    (row,) = found(dburi)
    expected = {
        "uuid": "unit-uuid",
        "job_name": "unit",
        "result": "SUCCESS",
        "voting": True,
        "log_url": "http://logs/unit",
        "launch_time": 99.0,
        "start_time": 100.0,
        "end_time": 160.0,
        "at": 160.0,
        "enqueued_at": 90.0,
        "number": 7,
        "node_name": "node-1",
        "node_labels": "trusty big",
        "worker": "w1",
        "worker_host": "h1",
        "pipeline": "check",
        "project": "org/app",
        "branch": "master",
        "change": 12,
        "patchset": 1,
        "ref": "refs/changes/01/12/1",
        "zuul_ref": "Z12",
        "score": 1,
        "message": "Build succeeded.",
        "buildset_uuid": "Z12",
        "item_uuid": "item-12",
    }
    assert {name: row[name] for name in expected} == expected
    assert journal.history_upto() == 5


def test_what_is_written_again_takes_the_place_of_what_was_there(journal, dburi):
    journal.keep_history([past(1, build("unit"), build("docs")), past(2, build("unit"))], upto=1)
    journal.keep_history([past(1, build("unit", "FAILURE"), result="FAILURE")], upto=2)
    assert counts(dburi) == (2, 2, 2)
    assert [(each["change"], each["result"]) for each in found(dburi, change=1)] == [(1, "FAILURE")]


def test_an_item_has_every_attempt_that_was_made(journal, dburi):
    attempt = past(1, build("unit", "CANCELED", uuid="a"), uuid="Z9", result="CANCELED", again=True)
    journal.keep_history([attempt, past(1, build("unit", uuid="b"))], upto=1)
    assert counts(dburi) == (1, 2, 2)
    assert {(each["buildset_uuid"], each["buildset_result"]) for each in found(dburi)} == {
        ("Z9", "CANCELED"),
        ("Z1", "SUCCESS"),
    }


def test_builds_are_found_by_every_question_newest_first(journal, dburi):
    journal.keep_history(
        [
            past(1, build("unit", ended_at=10.0), build("docs", "FAILURE", ended_at=30.0)),
            past(2, build("lint", ended_at=20.0), project="org/lib", pipeline="gate", branch="stable", patchset="3"),
            past(3, build("skip", "SKIPPED", uuid=None, started_at=None, ended_at=None), at=40.0),
        ],
        upto=1,
    )
    assert jobs(dburi) == ["skip", "docs", "lint", "unit"]
    assert jobs(dburi, limit=2) == ["skip", "docs"]
    assert jobs(dburi, project="org/lib") == jobs(dburi, pipeline="gate") == jobs(dburi, branch="stable") == ["lint"]
    assert jobs(dburi, change=1) == ["docs", "unit"]
    assert jobs(dburi, change=2, patchset=3) == ["lint"]
    assert jobs(dburi, change=2, patchset=1) == []
    assert jobs(dburi, job="unit") == ["unit"]
    assert jobs(dburi, result="failure") == ["docs"]
    assert jobs(dburi, since=20.0, until=30.0) == ["docs", "lint"]


def test_what_no_column_takes_is_left_out_or_cut(journal, dburi):
    odd = build("j" * 500, uuid="u", number=2**80, log_url="a\0b\ud800")
    journal.keep_history([past(1, odd, change="9" * 40, project="p" * 500, score=2**40)], upto=1)
    (row,) = found(dburi)
    assert (row["job_name"], row["project"]) == ("j" * 400, "p" * 400)
    assert (row["number"], row["change"], row["score"], row["log_url"]) == (None, None, 2**31 - 1, "ab?")


def test_builds_that_ended_long_ago_are_forgotten(journal, dburi):
    journal.keep_history([past(1, build(ended_at=10.0), at=10.0), past(2, build(ended_at=20.0), at=20.0)], upto=1)
    assert journal.trim_history(before=20.0) == 1
    assert counts(dburi) == (1, 1, 1)
    assert [each["change"] for each in found(dburi)] == [2]


def test_a_database_without_history_is_refused_with_the_reason(dburi, tmp_path):
    with pytest.raises(NoJournalError):
        found(f"sqlite:///{tmp_path}/none.sqlite")
    journal = Journal(dburi)
    journal.open()
    with journal._connection.begin():  # as a version before this one left it
        journal._connection.exec_driver_sql("UPDATE ci_gate_schema_version SET version_num = '0002'")
    with pytest.raises(SchemaError, match="start the service once"):
        found(dburi)
