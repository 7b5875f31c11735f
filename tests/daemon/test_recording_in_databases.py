"""The recorder with a real database: what it does when that goes away, and when another service leads."""

from __future__ import annotations

import asyncio
import time

import pytest
from sqlalchemy import create_engine, text

from ci_gate.daemon import recorder as recorder_module
from ci_gate.daemon.outstanding import Outstanding
from ci_gate.daemon.recorder import Recorder
from ci_gate.daemon.recovery import Standing
from ci_gate.scheduler.effects import QueryChange
from ci_gate.scheduler.inputs import TimerFired
from ci_gate.store.journal import Journal
from ci_gate.store.tables import progress


async def when(condition) -> None:
    ends_at = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < ends_at
        await asyncio.sleep(0.001)


class World:
    def __init__(self, journal: Journal) -> None:
        self.standing = Standing(0, "", None, None, None, {}, Outstanding(), [])
        self.released: list[QueryChange] = []
        self.deposed: list[str] = []
        self.recorder = Recorder(
            journal,
            self.standing,
            release=self.released.extend,
            trouble=lambda _: None,
            deposed=self.deposed.append,
        )

    def record(self, *tickets: int) -> None:
        for ticket in tickets:
            self.recorder.record(TimerFired(1.0, "x"), [], [QueryChange(ticket, "gerrit", "1")])


@pytest.fixture
def journal(journal_address):
    journal = Journal(journal_address)
    journal.open()
    yield journal
    journal.close()


async def test_every_step_is_in_the_database_before_its_effects_leave(journal, journal_address):
    world = World(journal)
    world.record(*range(1, 1500))
    await when(lambda: len(world.released) == 1499)
    other = Journal(journal_address)
    assert [each.seq for each in other.entries(0)] == list(range(1, 1500))
    other.close()
    await world.recorder.close()
    assert world.recorder.problem is None
    assert world.standing.seq == 1499


async def test_a_service_that_was_deposed_keeps_nothing_and_sends_nothing(journal, journal_address):
    world = World(journal)
    world.record(1)
    await when(lambda: len(world.released) == 1)
    with create_engine(journal_address).begin() as connection:
        connection.execute(progress.update().values(epoch=1))
    world.record(2, 3)
    await when(lambda: world.deposed)
    world.record(4)
    async with asyncio.timeout(10):
        await world.recorder.close()
    assert world.deposed == ["the epoch is 1, ours was 0"]
    assert [each.ticket for each in world.released] == [1]
    assert journal.last_seq() == 1
    assert world.recorder.problem is not None


async def test_a_connection_that_the_server_ends_costs_no_step(postgresql, monkeypatch):
    monkeypatch.setattr(recorder_module, "RETRY_S", 0.01)
    address = postgresql.new_database()
    journal = Journal(address)
    world = World(journal)
    for round_ in range(20):
        world.record(*range(100 * round_ + 1, 100 * round_ + 101))
        await asyncio.to_thread(_end_connections, address)
    await when(lambda: len(world.released) == 2000)
    assert [each.ticket for each in world.released] == list(range(1, 2001))
    assert [each.seq for each in journal.entries(0)] == list(range(1, 2001))
    await world.recorder.close()
    journal.close()


def _end_connections(address: str) -> None:
    ending = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    with create_engine(address).begin() as connection:
        connection.execute(text(ending))
