"""Timers of the layout: fired by the wall clock, kept over reloads."""

from __future__ import annotations

import asyncio

from ci_gate.daemon import timers as timers_module
from ci_gate.daemon.inbox import Inbox
from ci_gate.daemon.timers import Timers
from ci_gate.model.layout import EventFilter, Layout, Pipeline
from ci_gate.scheduler.inputs import TimeCame

MIDNIGHT = 1_800_000_000.0 - 1_800_000_000.0 % 60


def layout(*texts: str) -> Layout:
    return Layout(
        tuple(Pipeline(text, triggers=(EventFilter("timer", ("timer",), timespecs=(text,)),)) for text in texts)
    )


class Clock:
    def __init__(self) -> None:
        self.now = MIDNIGHT

    def __call__(self) -> float:
        return self.now


async def fired(inbox: Inbox) -> str:
    message = await asyncio.wait_for(inbox.take(), 5)
    assert isinstance(message, TimeCame)
    return message.timespec


async def test_each_time_is_told_once_and_again_when_it_comes_again(monkeypatch):
    monkeypatch.setattr(timers_module, "LONGEST_SLEEP_S", 0.01)
    clock, inbox = Clock(), Inbox()
    timers = Timers(inbox, clock)
    timers.use(layout("* * * * *"))
    running = asyncio.create_task(timers.run())
    await asyncio.sleep(0.05)
    assert not inbox.waiting_events
    clock.now += 61
    assert await fired(inbox) == "* * * * *"
    clock.now += 600  # the machine slept: once is enough
    assert await fired(inbox) == "* * * * *"
    await asyncio.sleep(0.05)
    assert not inbox.waiting_events
    running.cancel()


async def test_a_reload_brings_new_times_and_takes_old_ones_away(monkeypatch):
    monkeypatch.setattr(timers_module, "LONGEST_SLEEP_S", 0.01)
    clock, inbox = Clock(), Inbox()
    timers = Timers(inbox, clock)
    timers.use(layout("*/5 * * * *"))
    running = asyncio.create_task(timers.run())
    timers.use(layout("*/2 * * * *"))
    clock.now += 3600
    assert await fired(inbox) == "*/2 * * * *"
    await asyncio.sleep(0.05)
    assert not inbox.waiting_events
    running.cancel()
