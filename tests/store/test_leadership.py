"""Who leads, by a real PostgreSQL."""

from __future__ import annotations

import threading
from contextlib import suppress

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from ci_gate.store.journal import DeposedError, Entry, Journal
from ci_gate.store.leadership import Candidate, LeaderSession

ADA, BOB = Candidate("here", "ada"), Candidate("there", "bob")


@pytest.fixture
def address(postgresql) -> str:
    return postgresql.new_database()


@pytest.fixture
def sessions(address):
    made = [LeaderSession(address) for _ in range(2)]
    yield made
    for each in made:
        each.close()


def entry(seq: int) -> Entry:
    return Entry(seq, 1.0, "TimerFired", "{}", "[]", "[]")


def test_the_first_one_leads_and_the_row_says_so(sessions):
    first, second = sessions
    assert first.look() is None
    assert first.take(None, ADA, 5.0) == 1
    seen = second.look()
    assert (seen.epoch, seen.released, seen.place, seen.holder, seen.since) == (1, False, "here", "ada", 5.0)
    assert second.take(None, BOB, 6.0) is None
    assert first.renew(1)
    assert second.look().renewals == seen.renewals + 1


def test_whoever_was_seen_alive_meanwhile_keeps_the_lead(sessions):
    first, second = sessions
    first.take(None, ADA, 5.0)
    seen = second.look()
    first.renew(1)
    first.close()  # its lock is free
    assert second.take(seen, BOB, 6.0) is None
    assert first.renew(1), "the lock that was taken in vain is free again"
    assert second.look().holder == "ada"


def test_a_leader_that_stopped_gives_way_at_once(sessions):
    first, second = sessions
    first.take(None, ADA, 5.0)
    first.release(1)
    seen = second.look()
    assert seen.released
    assert second.take(seen, BOB, 6.0) == 2
    assert not second.look().released
    assert not first.renew(1)


def test_a_silent_leader_loses_the_lock_that_its_connection_holds(sessions):
    first, second = sessions
    first.take(None, ADA, 5.0)
    seen = second.look()
    assert second.take(seen, BOB, 6.0) is None
    taken = None
    while taken is None:  # the server ends the other connection in its own time
        taken = second.take(seen, BOB, 6.0)
    assert taken == 2
    with pytest.raises(SQLAlchemyError):
        first.renew(1)
    first.close()
    assert not first.renew(1)


def test_a_lock_that_was_lost_with_the_connection_is_had_again(sessions, address):
    first, second = sessions
    first.take(None, ADA, 5.0)
    first.close()
    assert first.renew(1)
    with create_engine(address).connect() as connection:
        found = connection.scalar(text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"))
    assert found == 1
    assert second.look().backend == first.look().backend


def test_who_was_deposed_writes_no_step(sessions, address):
    first, second = sessions
    old = Journal(address, first.take(None, ADA, 5.0))
    old.append([entry(1)], released=0)
    first.release(1)
    new = Journal(address, second.take(second.look(), BOB, 6.0))
    with pytest.raises(DeposedError):
        old.append([entry(2)], released=1)
    new.append([entry(2)], released=1)
    assert new.last_seq() == 2
    assert second.last_seq() == 1
    old.close()
    new.close()


def test_a_commit_that_is_under_way_is_seen_by_the_next_leader(sessions, address):
    first, second = sessions
    old = Journal(address, first.take(None, ADA, 5.0))
    old.append([entry(1)], released=0)
    first.release(1)
    seen, taken = second.look(), []
    taking = threading.Thread(target=lambda: taken.append(second.take(seen, BOB, 6.0)))
    with old._connection.begin():  # what ``append`` does, in slow motion
        old._note_released(1)
        taking.start()
        taking.join(0.2)
        assert taken == []
        old._connection.execute(text("UPDATE ci_gate_journal SET kind = 'Late'"))
    taking.join()
    assert taken == [2]
    assert [each.kind for each in Journal(address).entries(0)] == ["Late"]
    old.close()


def stops_between_two_statements(_: Journal) -> None:
    """The server knows that nothing is on its way."""


def stops_while_it_sends(journal: Journal) -> None:
    """Several steps are one statement and many rows, of which the server has had some."""
    connection = journal._connection.connection.driver_connection.pgconn
    connection.enter_pipeline_mode()
    connection.send_query_params(b"INSERT INTO ci_gate_progress VALUES ('other', 1, 1)", [])
    connection.send_flush_request()
    assert connection.flush() == 0


@pytest.mark.parametrize("stops", [stops_between_two_statements, stops_while_it_sends])
def test_a_leader_that_stands_still_in_a_commit_keeps_nobody_out(sessions, address, stops):
    first, second = sessions
    old = Journal(address, first.take(None, ADA, 5.0))
    old.append([entry(1)], released=0)
    first.release(1)
    seen, taken = second.look(), None
    old._connection.begin()
    old._note_released(1)
    stops(old)
    while taken is None:
        with suppress(SQLAlchemyError):  # it waits for the row, though not for ever
            taken = second.take(seen, BOB, 6.0)
    assert taken == 2
    driver = old._connection.connection.driver_connection
    ended = text("SELECT count(*) FROM pg_stat_activity WHERE pid = :pid")
    assert second._connection.scalar(ended, {"pid": driver.pgconn.backend_pid}) == 0, "it might still write"
    assert [each.kind for each in Journal(address).entries(0)] == ["TimerFired"]
    old._connection.invalidate()
    old.close()


def test_two_that_start_on_an_empty_database_make_its_tables_once(address):
    problems = []

    def start() -> None:
        journal = Journal(address)
        try:
            journal.open()
        except Exception as problem:  # noqa: BLE001  # whatever it is, the test shows it
            problems.append(problem)
        journal.close()

    threads = [threading.Thread(target=start) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert problems == []
