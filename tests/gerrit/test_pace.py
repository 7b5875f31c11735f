"""A Gerrit is given no more commands than agreed, and fewer while it is slow or refuses (gerrit-wire.md 11)."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import paramiko
import pytest
from gerrit_parts import settings_for, when

from ci_gate.gerrit import pace as module
from ci_gate.gerrit.commands import CommandPool, NotSentError
from ci_gate.gerrit.pace import QUICK_IN_A_ROW, REFUSED_FOR_S, SLOW_S, Pace


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Turns:
    """Commands that are asked for, and end when a test says so."""

    def __init__(self, pace: Pace) -> None:
        self.pace, self.begun = pace, []
        self._tasks: dict[str, asyncio.Task] = {}
        self._ends: dict[str, asyncio.Event] = {}

    async def ask(self, *names: str, urgent: bool = False) -> None:
        for name in names:
            self._ends[name] = asyncio.Event()
            self._tasks[name] = asyncio.create_task(self._run(name, urgent))
        await settle()

    async def _run(self, name: str, urgent: bool) -> None:
        async with self.pace.turn(urgent=urgent):
            self.begun.append(name)
            await self._ends[name].wait()

    async def end(self, *names: str) -> None:
        for name in names:
            self._ends[name].set()
        await settle()

    async def give_up(self, name: str) -> None:
        self._tasks[name].cancel()
        await settle()

    async def close(self) -> None:
        for each in self._tasks.values():
            each.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def make(clock):
    async with AsyncExitStack() as stack:

        def made(channels: int = 4, budget: int = 0) -> Turns:
            turns = Turns(Pace("gerrit", channels, budget, clock))
            stack.push_async_callback(turns.close)
            return turns

        yield made


async def test_so_many_at_a_time_and_the_others_in_their_order(make):
    turns = make(channels=2)
    await turns.ask("a", "b", "c", "d")
    assert turns.begun == ["a", "b"]
    await turns.end("b")
    assert turns.begun == ["a", "b", "c"]
    load = turns.pace.load
    assert (load.under_way, load.waiting, load.channels, load.last_minute) == (2, 1, 2, 3)
    assert load.held_back == 2


async def test_an_urgent_one_comes_first(make):
    turns = make(channels=1)
    await turns.ask("a", "b")
    await turns.ask("report", urgent=True)
    await turns.end("a")
    assert turns.begun == ["a", "report"]


async def test_who_gives_up_leaves_his_turn_to_others(make):
    turns = make(channels=1)
    await turns.ask("a", "b", "c")
    await turns.give_up("b")
    await turns.end("a")
    assert turns.begun == ["a", "c"]
    await turns.give_up("c")
    assert turns.pace.load.under_way == 0


async def test_a_turn_that_comes_together_with_a_cancellation_is_not_lost(make):
    turns = make(channels=1)
    await turns.ask("a", "b", "c")
    turns._ends["a"].set()
    await asyncio.sleep(0)  # the turn of b has come, and b has not run yet
    await turns.give_up("b")
    assert turns.begun == ["a", "c"]


async def test_no_more_in_a_second_than_a_sixtieth_of_the_budget(make, clock):
    turns = make(channels=64, budget=120)
    await turns.ask("a", "b", "c", "d", "e")
    assert turns.begun == ["a", "b"]
    clock.now += 0.999
    turns.pace._let_in()
    assert len(turns.begun) == 2
    clock.now += 0.001
    turns.pace._let_in()
    await settle()
    assert turns.begun == ["a", "b", "c", "d"]


async def test_no_more_in_a_minute_than_the_budget_whatever_comes(make, clock):
    turns = make(channels=64, budget=90)
    begun_at = []
    await turns.ask(*map(str, range(300)))
    for _ in range(1500):
        begun_at += [clock.now] * (len(turns.begun) - len(begun_at))
        await turns.end(*turns.begun)
        clock.now += 0.1
        turns.pace._let_in()
        await settle()
    assert len(begun_at) > 150
    assert all(sum(begun <= each < begun + 60 for each in begun_at) <= 90 for begun in begun_at)
    assert all(sum(begun <= each < begun + 0.99 for each in begun_at) <= 2 for begun in begun_at)


async def test_what_the_budget_holds_back_is_let_in_by_time(gerrit):
    pool = CommandPool(settings_for(gerrit, commands_per_minute=120))
    answers = await asyncio.gather(*(pool.run("gerrit version", deadline_s=5) for _ in range(5)))
    assert all(each.exit_status == 0 for each in answers)
    times = [each.at for each in gerrit.received]
    assert times[4] - times[0] >= 1.5, "two in each second"
    assert pool.pace.load.held_back == 3
    await pool.close()


async def test_a_slow_answer_halves_what_is_asked_at_a_time_and_quick_ones_bring_it_back(make, clock):
    pace = make(channels=8).pace
    pace.took(SLOW_S)
    assert pace.load.channels == 4
    pace.took(SLOW_S)  # it began before that was known
    assert pace.load.channels == 4
    for expected in (2, 1, 1):
        clock.now += SLOW_S
        pace.took(SLOW_S)
        assert pace.load.channels == expected
    for expected in (2, 3):
        for _ in range(QUICK_IN_A_ROW):
            pace.took(0.1)
        assert pace.load.channels == expected
    for _ in range(100 * QUICK_IN_A_ROW):
        pace.took(0.1)
    assert pace.load.channels == 8, "never more than the settings allow"


async def test_a_refused_channel_makes_fewer_for_some_minutes(make, clock):
    turns = make(channels=4)
    await turns.ask("a", "b", "c")
    assert turns.pace.refused()
    assert turns.pace.load.channels == 2
    for _ in range(10 * QUICK_IN_A_ROW):
        turns.pace.took(0.1)
    assert turns.pace.load.channels == 2
    clock.now += REFUSED_FOR_S
    for _ in range(QUICK_IN_A_ROW):
        turns.pace.took(0.1)
    assert turns.pace.load.channels == 3


async def test_who_is_refused_while_alone_has_nothing_to_wait_for(make):
    turns = make()
    await turns.ask("a")
    assert not turns.pace.refused()


@pytest.mark.parametrize("reason_known", [True, False])
async def test_a_server_that_refuses_channels_gets_all_commands_fewer_at_a_time(
    gerrit, pool, monkeypatch, reason_known
):
    """paramiko tells the reason once for a connection: of two refusals at a time, one has none."""
    if not reason_known:
        monkeypatch.setattr(paramiko.Transport, "get_exception", lambda _: None)
    await pool.run("gerrit version", deadline_s=5)
    gerrit.faults.most_channels = 2
    answers = await asyncio.gather(*(pool.run("gerrit version", deadline_s=10) for _ in range(15)))
    assert all(each.exit_status == 0 for each in answers)
    assert gerrit.faults.refused_channels
    assert pool.pace.load.channels <= 3
    assert len(gerrit.connections) == 1, "the connection is kept"


async def test_one_that_refuses_every_channel_is_a_failure_that_may_pass(gerrit, pool):
    await pool.run("gerrit version", deadline_s=5)
    gerrit.faults.most_channels = 0
    with pytest.raises(NotSentError, match="refused a channel"):
        await pool.run("gerrit version", deadline_s=5)
    gerrit.faults.clear()
    assert (await pool.run("gerrit version", deadline_s=5)).exit_status == 0


async def test_a_slow_gerrit_is_asked_less_at_a_time(gerrit, pool, change, monkeypatch):
    monkeypatch.setattr(module, "SLOW_S", 0.2)
    gerrit.faults.stall("query", times=1)
    slow = asyncio.create_task(pool.run("gerrit query --format json 'change:1'", deadline_s=0.3))
    await when(slow.done, "the answer to be given up")
    assert pool.pace.load.channels == 2


async def test_an_account_with_too_many_connections_is_not_taken_for_a_refused_one(tmp_path, gerrit):
    gerrit._server._max_connections_per_user = 0
    pool = CommandPool(settings_for(gerrit))
    with pytest.raises(NotSentError, match="too many connections"):
        await pool.run("gerrit version", deadline_s=5)
    gerrit._server._max_connections_per_user = 64
    assert (await pool.run("gerrit version", deadline_s=5)).exit_status == 0
    await pool.close()


async def test_while_gerrit_is_away_those_who_wait_are_told_at_once(gerrit, pool, monkeypatch):
    monkeypatch.setattr("ci_gate.gerrit.attempts.SPACING_S", 1.0)
    await pool.run("gerrit version", deadline_s=5)
    gerrit.stop()
    told = await asyncio.gather(
        *(pool.run("gerrit version", deadline_s=60) for _ in range(100)), return_exceptions=True
    )
    assert all(isinstance(each, NotSentError) for each in told)
    assert pool.pace.load.last_minute > 100, "not one of them waited for a try of its own"
