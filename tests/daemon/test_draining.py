"""Events that a graceful stop keeps for the next start."""

from __future__ import annotations

import pytest

from ci_gate.daemon.draining import FILE, keep, take_kept, text_for_people
from ci_gate.daemon.inbox import Inbox
from ci_gate.model.change import Account, Vote
from ci_gate.model.event import Event
from ci_gate.scheduler.inputs import EventReceived, MergeAnswered, TimeCame

EVENT = Event("comment-added", "gerrit", "demo", "master", "12", "3", account=Account("Ada"), votes=(Vote("V", 1),))


def test_what_was_kept_comes_back_once(tmp_path):
    waiting = [EventReceived(5.0, EVENT), TimeCame(6.0, "0 2 * * *"), EventReceived(7.5, EVENT)]
    keep(tmp_path, waiting)
    assert take_kept(tmp_path) == waiting
    assert take_kept(tmp_path) == []


def test_nothing_to_keep_leaves_no_file(tmp_path):
    keep(tmp_path, [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 99, "waiting": []}', '{"version": 1, "waiting": [{}]}'])
def test_a_file_that_makes_no_sense_is_put_aside(tmp_path, text):
    (tmp_path / FILE).write_text(text)
    assert take_kept(tmp_path) == []
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
