"""Every wait on the outside is listed while it lasts, and ends."""

from __future__ import annotations

import asyncio

import pytest

from ci_gate.daemon import waits as waits_module
from ci_gate.daemon.waits import Waits


async def test_a_wait_is_listed_while_it_lasts():
    waits = Waits(clock=lambda: 7.0)
    async with waits.of("query of change 1", "Gerrit gerrit", 30.0):
        (listed,) = waits.under_way()
        assert (listed.name, listed.owner, listed.since, listed.deadline_s) == (
            "query of change 1",
            "Gerrit gerrit",
            7.0,
            30.0,
        )
    assert waits.under_way() == ()


async def test_a_wait_ends_when_its_time_is_over():
    waits = Waits()
    with pytest.raises(TimeoutError):
        async with waits.of("stuck", "somebody", 0.01):
            await asyncio.Event().wait()
    assert waits.under_way() == ()


async def test_the_watchdog_names_what_takes_long_once_and_tells_when_it_has_ended(monkeypatch, caplog):
    monkeypatch.setattr(waits_module, "LOOK_EVERY_S", 0.001)
    now = 0.0
    waits = Waits(clock=lambda: now)
    told: list[str] = []
    long, ended = asyncio.Event(), asyncio.Event()

    def warn(event, **fields):
        told.append(f"{event}: {fields['wait']}")
        long.set()

    monkeypatch.setattr(waits_module.log, "warning", warn)
    monkeypatch.setattr(waits_module.log, "info", lambda event, **_: (told.append(event), ended.set()))
    watch = asyncio.create_task(waits.watch())
    async with waits.of("merge of 1,1", "merger", 900.0):
        now = 60.0
        async with asyncio.timeout(5):
            await long.wait()
    async with asyncio.timeout(5):
        await ended.wait()
    watch.cancel()
    assert told == ["waiting for long: merge of 1,1", "long wait ended"]
