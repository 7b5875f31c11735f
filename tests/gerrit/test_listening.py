"""A stream that is open and brings nothing while things happen is opened again."""

from __future__ import annotations

import asyncio

import pytest
from gerrit_parts import PROJECT, settings_for, when

from ci_gate.daemon import listening as module
from ci_gate.daemon.catching_up import Surroundings, Wanted
from ci_gate.daemon.listening import LATE_S, Listener, is_fed_no_more
from ci_gate.gerrit.stream import StreamState
from ci_gate.store.journal import Journal, default_address
from ci_gate.store.marks import Mark, Marks

NOW = 10_000.0


def state(*, connected: bool = True, since: float = 0.0, heard: float | None = None) -> StreamState:
    return StreamState(connected, since, since, last_event_at=heard)


@pytest.mark.parametrize("heard", [None, NOW - 500])
def test_who_told_nothing_of_what_was_found_is_fed_no_more(heard):
    assert is_fed_no_more(state(heard=heard), NOW - 100, NOW)


@pytest.mark.parametrize(
    ("stream", "found_at"),
    [
        (state(), 0.0),  # nothing was found
        (state(connected=False), NOW - 100),
        (state(since=NOW - 120), NOW - 100),  # it may have been opened just after that
        (state(heard=NOW - 110), NOW - 100),  # it told something at about that time
        (state(heard=NOW - 10), NOW - 100),
        (state(), NOW - LATE_S + 1),  # it may still tell
    ],
)
def test_others_are_left_alone(stream, found_at):
    assert not is_fed_no_more(stream, found_at, NOW)


async def test_the_stream_is_opened_again_and_tells(gerrit, access, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LATE_S", 0.0)
    address = default_address(tmp_path)
    journal = Journal(address)
    journal.open()
    journal.close()
    taken = []

    async def at_once() -> None:
        return

    around = Surroundings(wanted=lambda: Wanted([PROJECT], []), take=taken.append, backlog=lambda: 0, journaled=at_once)
    settings = settings_for(gerrit, reconcile_interval_s=0.2)
    made = Listener.on(settings, access, Marks(address), around)
    made.catching_up.begin(Mark(1.0, 1.0))
    tasks = [asyncio.create_task(each.run()) for each in (made.stream, made.catching_up)]
    await when(lambda: gerrit.listeners and made.catching_up.state.at, "the first look")
    await asyncio.sleep(1.0)  # what happens now happens in a later second than the opening
    for each in gerrit._site.stream.listeners:
        each.offer = lambda *_: None  # the server forgets whom it should tell
    gerrit.create_change(PROJECT, {"a": "x\n"}, "Change\n", by="dev")
    await when(lambda: made.stream.state.reconnects, "another stream")
    await when(lambda: made.stream.state.connected and gerrit.listeners, "it to be open")
    gerrit.comment(1, by="dev", message="hello")
    await when(lambda: made.stream.state.events, "an event on it")
    assert [each.type for each in taken if each.names_change].count("patchset-created") == 1
    for each in tasks:
        each.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
