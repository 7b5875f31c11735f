"""A database of each older version, with data in it, is brought up to date and loses nothing."""

from __future__ import annotations

import json

import pytest
from alembic import command
from alembic.config import Config
from past_parts import build, past
from sqlalchemy import create_engine, text

from ci_gate.store.journal import Entry, Journal, SnapshotRow
from ci_gate.store.marks import Mark, Marks
from ci_gate.store.migrate import FOLDER, NEWEST, version_of
from ci_gate.store.reading import JournalReader, reading_engine
from ci_gate.store.searching import Wanted, find_builds

STEPS = [
    Entry(each, float(each), "TimerFired", f'{{"at": {each}, "timer": "ü"}}', "[]", "[]") for each in range(1, 701)
]
SNAPSHOT = SnapshotRow(600, 600.0, "digest", '{"scheduler": {}}')
ROWS = (
    ("INSERT INTO ci_gate_snapshot (seq, at, layout, body) VALUES (600, 600.0, 'digest', :body)", SNAPSHOT.body),
    ("INSERT INTO ci_gate_layout (digest, body) VALUES ('digest', :body)", "the layout"),
    ("INSERT INTO ci_gate_progress (name, seq) VALUES (:body, 699)", "released"),
)
STEP = (
    "INSERT INTO ci_gate_journal (seq, at, kind, input, answers, effects) "
    "VALUES (:seq, :at, :kind, :input, :answers, :effects)"
)
MARK = "INSERT INTO ci_gate_mark (connection, body) VALUES ('gerrit', :body)"


def make_old(dburi: str, version: str) -> None:
    """A database as that version made and filled it, by statements of its own."""
    with create_engine(dburi).begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(FOLDER))
        config.attributes["connection"] = connection
        command.upgrade(config, version)
        assert version_of(connection) == version
        names = ("seq", "at", "kind", "input", "answers", "effects")
        connection.execute(text(STEP), [{name: getattr(each, name) for name in names} for each in STEPS])
        for statement, body in ROWS:
            connection.execute(text(statement), {"body": body})
        if version >= "0002":
            body = json.dumps({"began_at": 1.0, "since": 2.0, "refs": {"org/app": {"refs/heads/master": "a" * 40}}})
            connection.execute(text(MARK), {"body": body})


@pytest.mark.parametrize("version", ["0001", "0002"])
def test_all_that_an_older_version_kept_is_there_after_the_upgrade(dburi, version):
    make_old(dburi, version)
    journal = Journal(dburi)
    journal.open()
    with create_engine(dburi).connect() as connection:
        assert version_of(connection) == NEWEST
    assert list(journal.entries(0)) == STEPS
    assert journal.last_snapshot() == SNAPSHOT
    assert journal.layout("digest") == "the layout"
    assert journal.released() == 699
    assert journal.history_upto() == 0
    mark = Marks(dburi).load("gerrit")
    assert mark == (Mark(1.0, 2.0, {"org/app": {"refs/heads/master": "a" * 40}}) if version >= "0002" else None)
    journal.keep_history([past(1, build())], upto=700)
    journal.close()
    again = Journal(dburi)
    again.open()
    assert (again.history_upto(), again.released()) == (700, 699)
    assert [each["job_name"] for each in find_builds(reading_engine(dburi), Wanted())] == ["unit"]
    again.close()


@pytest.mark.parametrize("version", ["0001", "0002"])
def test_a_replay_reads_an_older_journal_and_does_not_upgrade_it(dburi, version):
    make_old(dburi, version)
    reader = JournalReader(dburi)
    assert list(reader.entries(690)) == STEPS[690:]
    assert reader.snapshots() == [600]
    assert reader.snapshot(600) == SNAPSHOT
    reader.close()
    with create_engine(dburi).connect() as connection:
        assert version_of(connection) == version
