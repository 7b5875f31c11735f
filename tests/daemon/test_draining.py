"""Events that a graceful stop keeps for the next start."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from ci_gate.daemon.draining import FILE, Kept, KeptEvents, forget, keep, not_taken, read_kept, text_for_people
from ci_gate.daemon.inbox import Inbox
from ci_gate.daemon.records import encode_input
from ci_gate.model.change import Account, Vote
from ci_gate.model.event import Event
from ci_gate.scheduler.inputs import EventReceived, MergeAnswered, TimeCame
from ci_gate.store.journal import Entry, Journal, default_address

EVENT = Event("comment-added", "gerrit", "demo", "master", "12", "3", account=Account("Ada"), votes=(Vote("V", 1),))


WAITING = (EventReceived(5.0, EVENT), TimeCame(6.0, "0 2 * * *"), EventReceived(7.5, EVENT))


@pytest.fixture
def journal(tmp_path):
    journal = Journal(default_address(tmp_path))
    journal.open()
    yield journal
    journal.close()


def record(journal: Journal, seq: int, message: EventReceived | TimeCame) -> None:
    body = encode_input(message, lambda layout: "")
    journal.append([Entry(seq, message.at, type(message).__name__, body, "[]", "[]")], released=0)


def test_what_was_kept_is_there_until_it_is_forgotten(tmp_path, journal):
    keep(tmp_path, WAITING, after=3)
    for _ in range(2):
        assert not_taken(read_kept(tmp_path), journal) == list(WAITING)
    forget(tmp_path)
    assert read_kept(tmp_path) == Kept()


def test_a_start_that_ended_too_soon_leaves_what_the_journal_does_not_have(tmp_path, journal):
    record(journal, 3, EventReceived(1.0, EVENT))  # the same words, before the stop
    keep(tmp_path, WAITING, after=3)
    for seq, each in enumerate(WAITING[:2], 4):
        record(journal, seq, replace(each, at=100.0 + seq))
    assert not_taken(read_kept(tmp_path), journal) == [WAITING[2]]


def test_a_file_of_the_first_version_can_be_read(tmp_path, journal):
    first = json.dumps({"version": 1, "waiting": [{"at": 6.0, "timespec": "0 2 * * *"}]})
    (tmp_path / FILE).write_text(first)
    assert not_taken(read_kept(tmp_path), journal) == [WAITING[1]]


def test_what_zuul_kept_is_never_read_and_its_operator_is_told(tmp_path, journal):
    pickled = tmp_path / "queue.pickle"
    pickled.write_bytes(f"cposix\nsystem\n(S'touch {tmp_path}/harm'\ntR.".encode())
    with capture_logs() as logs:
        assert KeptEvents(tmp_path, default_address(tmp_path), shared=False).read() == []
    (line,) = logs
    assert (line["log_level"], line["file"]) == ("warning", str(pickled))
    assert "ignored" in line["event"]
    assert not (tmp_path / "harm").exists()
    assert pickled.exists()


def test_nothing_to_keep_leaves_no_file(tmp_path):
    keep(tmp_path, WAITING, after=3)
    keep(tmp_path, [], after=4)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 99, "waiting": []}', '{"version": 1, "waiting": [{}]}'])
def test_a_file_that_makes_no_sense_is_put_aside(tmp_path, text):
    (tmp_path / FILE).write_text(text)
    assert read_kept(tmp_path) == Kept()
    assert [each.suffix for each in tmp_path.iterdir()] == [".unreadable"]


async def test_an_inbox_that_holds_events_gives_out_results_only():
    inbox = Inbox()
    inbox.put(lambda at: EventReceived(at, EVENT))
    inbox.hold_events()
    inbox.put(lambda at: TimeCame(at, "x"))
    assert inbox.is_quiet
    inbox.put(lambda at: MergeAnswered(at, None))
    assert not inbox.is_quiet
    assert isinstance(await inbox.take(), MergeAnswered)
    assert [type(each) for each in inbox.held_events()] == [EventReceived, TimeCame]


def test_people_read_how_many_wait():
    assert "1 event waits" in text_for_people(1)
    assert "12 events wait" in text_for_people(12)
