"""The order in which the world's news is taken."""

from __future__ import annotations

import asyncio

from ci_gate.daemon.inbox import Inbox
from ci_gate.model.event import Event
from ci_gate.model.layout import Layout
from ci_gate.scheduler.inputs import EventReceived, LayoutReplaced, TimerFired


async def test_results_are_taken_before_events_and_each_kind_in_order_of_arrival():
    inbox = Inbox()
    for name in ("one", "two"):
        inbox.put(lambda at, name=name: EventReceived(at, Event(name, "gerrit")))
        inbox.put(lambda at, name=name: TimerFired(at, name))
    taken = [await inbox.take() for _ in range(4)]
    assert [getattr(each, "timer", None) or each.event.type for each in taken] == ["one", "two", "one", "two"]
    assert isinstance(taken[0], TimerFired)


async def test_time_never_goes_backwards():
    readings = iter([100.0, 50.0, 101.0])
    inbox = Inbox(clock=lambda: next(readings))
    for _ in range(3):
        inbox.put(lambda at: TimerFired(at, "t"))
    assert [(await inbox.take()).at for _ in range(3)] == [100.0, 100.0, 101.0]


async def test_take_waits_for_the_next_input():
    inbox = Inbox()
    taking = asyncio.create_task(inbox.take())
    await asyncio.sleep(0)
    assert not taking.done()
    inbox.put(lambda at: TimerFired(at, "t"))
    assert (await asyncio.wait_for(taking, 5)).timer == "t"


async def test_what_operators_want_goes_before_all_that_waits():
    inbox = Inbox()
    inbox.put(lambda at: EventReceived(at, Event("one", "gerrit")))
    inbox.put(lambda at: TimerFired(at, "two"))
    inbox.put(lambda at: LayoutReplaced(at, 1, Layout(), None))
    assert isinstance(await inbox.take(), LayoutReplaced)
