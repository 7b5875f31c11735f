"""Effects are handed out in order, and only once their step would survive a crash."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from ci_gate.daemon import recorder as recorder_module
from ci_gate.daemon.outstanding import Outstanding
from ci_gate.daemon.recorder import Recorder
from ci_gate.daemon.recovery import Standing
from ci_gate.scheduler.effects import QueryChange
from ci_gate.scheduler.inputs import ChangeAnswered, TimerFired
from ci_gate.store.journal import Entry


class FakeJournal:
    """``fails``: so many tries raise, before the step is kept or (``after``) behind it."""

    def __init__(self) -> None:
        self.kept: list[Entry] = []
        self.fails = 0
        self.after = False
        self.commits: list[int] = []

    def append(self, entries: list[Entry], released: int) -> None:
        if self.fails:
            self.fails -= 1
            if self.after:
                self.kept += entries
            raise OSError("No space left on device\nsecond line")
        self.kept += entries
        self.commits.append(released)

    def last_seq(self) -> int:
        return self.kept[-1].seq if self.kept else 0

    def close(self) -> None: ...


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(recorder_module, "RETRY_S", 0.01)


async def when(condition: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < ends_at
        await asyncio.sleep(0.001)


class World:
    def __init__(self) -> None:
        self.journal = FakeJournal()
        self.standing = Standing(0, "", None, None, None, {}, Outstanding(), [])
        self.released: list[QueryChange] = []
        self.troubles: list[str] = []
        self.recorder = Recorder(
            self.journal, self.standing, release=self.released.extend, trouble=self.troubles.append
        )

    def record(self, *tickets: int) -> None:
        for ticket in tickets:
            self.recorder.record(TimerFired(1.0, "x"), [], [QueryChange(ticket, "gerrit", "1")])

    async def until(self, count: int) -> None:
        await when(lambda: len(self.released) >= count)


async def test_effects_leave_in_order_after_their_steps_are_kept():
    world = World()
    world.record(*range(1, 1500))
    await world.until(1499)
    assert [each.ticket for each in world.released] == list(range(1, 1500))
    assert [each.seq for each in world.journal.kept] == list(range(1, 1500))
    assert len(world.journal.commits) < 1499, "many by one commit"
    await world.recorder.close()
    assert world.standing.seq == 1499
    assert len(list(world.standing.outstanding)) == 1499


async def test_nothing_leaves_and_nothing_is_taken_while_the_journal_cannot_be_written():
    world = World()
    world.journal.fails = 10**9
    world.record(1)
    await when(lambda: not world.recorder.writable.is_set())
    assert world.released == []
    assert world.troubles == [
        "the journal cannot be written, and nothing new is taken: OSError: No space left on device"
    ]
    world.journal.fails = 0
    await world.until(1)
    async with asyncio.timeout(10):
        await world.recorder.writable.wait()
    await world.recorder.close()


async def test_a_step_that_was_kept_although_the_database_said_otherwise_is_not_kept_twice():
    world = World()
    world.journal.fails, world.journal.after = 1, True
    world.record(1)
    await world.until(1)
    world.record(2)
    await world.until(2)
    assert [each.seq for each in world.journal.kept] == [1, 2]
    await world.recorder.close()


async def test_the_end_does_not_wait_for_a_journal_that_cannot_be_written():
    world = World()
    world.journal.fails = 10**9
    world.record(1)
    await when(lambda: world.recorder.problem is not None)
    async with asyncio.timeout(10):
        await world.recorder.close()
    assert world.released == []


async def test_what_was_answered_is_no_longer_outstanding():
    world = World()
    world.record(1, 2)
    world.recorder.record(ChangeAnswered(2.0, 1, None), [], [])
    await world.recorder.close()
    assert [each.ticket for each in world.standing.outstanding] == [2]
