"""Whatever breaks, and wherever: each happening becomes one event."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter

import pytest
from gerrit_parts import PROJECT, settings_for, when

from ci_gate.daemon import catching_up as module
from ci_gate.daemon.catching_up import CatchingUp, Surroundings, Wanted
from ci_gate.gerrit import stream as stream_module
from ci_gate.gerrit.commands import CommandPool
from ci_gate.gerrit.seen import key_of
from ci_gate.gerrit.stream import EventStream
from ci_gate.model.event import Event
from ci_gate.sandbox.tcp_proxy import tcp_proxy
from ci_gate.store.journal import Journal
from ci_gate.store.marks import Mark, Marks

SEEDS = range(20)
OTHER = "demo/other"


class CrashError(BaseException):
    """The process ends here."""


class Crashing:
    """Counts the steps of a look, and crashes at one of them."""

    def __init__(self, at: int | None = None) -> None:
        self.at, self.steps = at, 0

    def step(self) -> None:
        self.steps += 1
        if self.steps == self.at:
            raise CrashError


class Run:
    """One life of the service, as far as it concerns looks: ``journal`` outlives it."""

    def __init__(self, settings, pool, marks: Marks, journal: list[Event], crashing: Crashing | None = None) -> None:
        self.journal, self.crashing = journal, crashing or Crashing()
        self.marks = marks
        around = Surroundings(
            wanted=lambda: Wanted([PROJECT, OTHER], [PROJECT]),
            take=self._take,
            backlog=lambda: 0,
            journaled=self._journaled,
        )
        self.catching_up = CatchingUp(settings, pool, self, around)
        self.catching_up.begin(marks.load("gerrit") or Mark(0.0, 0.0))
        self.catching_up.restore(journal)

    def _take(self, event: Event) -> None:
        self.crashing.step()
        self.journal.append(event)
        self.crashing.step()

    async def _journaled(self) -> None:
        self.crashing.step()

    def keep(self, connection: str, mark: Mark) -> None:
        """In the place of the marks."""
        self.crashing.step()
        self.marks.keep(connection, mark)
        self.crashing.step()

    async def look(self) -> str | None:
        return await self.catching_up._look()  # one look, without waiting for its time


@pytest.fixture
def marks(journal_address):
    address = journal_address
    journal = Journal(address)
    journal.open()
    journal.close()
    made = Marks(address)
    made.keep("gerrit", Mark(time.time() - 1, time.time() - 1))
    return made


@pytest.fixture(autouse=True)
def people(gerrit):
    gerrit.create_account("boss", votes={"Code-Review": (-2, 2), "Workflow": (-1, 1), "Verified": (-2, 2)},
                          may_submit=True, may_push=True)  # fmt: skip
    gerrit.create_project(OTHER, {"README": "x\n"})


def merge(gerrit, number: int) -> None:
    gerrit.comment(number, by="boss", votes={"Code-Review": 2, "Workflow": 1, "Verified": 2})
    gerrit.submit(number, by="boss")


def happen(gerrit) -> None:
    """A bit of everything."""
    first = gerrit.create_change(PROJECT, {"a": "1\n"}, "First\n", by="dev").number
    gerrit.comment(first, by="dev", message="recheck")
    second = gerrit.create_change(OTHER, {"b": "1\n"}, "Second\n", by="dev").number
    gerrit.abandon(second, by="dev", reason="not now")
    gerrit.restore(second, by="dev")
    gerrit.create_patch_set(second, {"b": "2\n"})
    gerrit.comment(second, by="boss", message="Looks good", votes={"Code-Review": 1})
    merge(gerrit, first)
    gerrit.update_ref(PROJECT, "refs/tags/v1", gerrit.head(PROJECT))


KINDS = {
    "patchset-created": 2,
    "comment-added": 3,
    "change-abandoned": 1,
    "change-restored": 1,
    "change-merged": 1,
    "ref-updated": 2,
}


def comments(events: list[Event]) -> list[Event]:
    return [each for each in events if each.type == "comment-added"]


def of_changes(events: list[Event]) -> list[Event]:
    return [each for each in events if each.names_change]


def kinds(events: list[Event]) -> dict[str, int]:
    return dict(Counter(each.type for each in events))


async def test_a_look_finds_all_that_happened_and_a_second_one_nothing(gerrit, pool, marks):
    run = Run(pool.settings, pool, marks, [])
    assert await run.look() is None
    happen(gerrit)
    assert await run.look() is None
    assert kinds(run.journal) == KINDS
    assert all(each.caught_up for each in run.journal)
    votes = {each.comment: {vote.label: vote.value for vote in each.votes} for each in run.journal if each.votes}
    assert votes["Patch Set 2: Code-Review+1\n\nLooks good"] == {"Code-Review": 1}
    assert await run.look() is None
    assert kinds(run.journal) == KINDS


async def test_what_the_stream_tells_after_a_look_found_it_is_no_news(gerrit, pool, marks):
    run = Run(pool.settings, pool, marks, [])
    await run.look()
    told: list[Event] = []
    stream = asyncio.create_task(EventStream(pool.settings, told.append).run())
    await when(lambda: gerrit.listeners, "the stream")
    happen(gerrit)
    await when(lambda: len(told) >= sum(KINDS.values()), "all events")
    stream.cancel()
    await run.look()
    for event in told:
        run.catching_up.arrived(event)
    found = Counter(map(key_of, run.journal))
    assert max(found.values()) == 1
    assert set(map(key_of, told)) <= set(found)


async def test_the_same_words_twice_are_two_comments(gerrit, pool, marks, change):
    run = Run(pool.settings, pool, marks, [])
    await run.look()
    run.journal.clear()
    gerrit.comment(change.number, by="dev", message="recheck")
    gerrit.comment(change.number, by="dev", message="recheck")
    await run.look()
    await run.look()
    assert kinds(run.journal) == {"comment-added": 2}


async def test_many_changes_come_in_pages(gerrit, pool, marks):
    for number in range(25):
        gerrit.create_change(PROJECT, {f"file-{number}": "x\n"}, "Change\n", by="dev")
    object.__setattr__(gerrit._site.settings, "query_limit", 7)  # a server's own limit, which it keeps to itself
    run = Run(pool.settings, pool, marks, [])
    assert await run.look() is None
    assert kinds(run.journal) == {"patchset-created": 25}


async def test_a_crash_at_any_step_of_a_look_neither_loses_nor_repeats(gerrit, pool, marks):
    counting = Run(pool.settings, pool, marks, [])
    await counting.look()
    mark = marks.load("gerrit")
    happen(gerrit)
    await counting.look()
    expected = Counter(map(key_of, counting.journal))
    steps = counting.crashing.steps
    assert steps > 2 * sum(KINDS.values())
    for crash_at in range(1, steps + 1):
        marks.keep("gerrit", mark)
        journal: list[Event] = []
        with contextlib.suppress(CrashError):
            await Run(pool.settings, pool, marks, journal, Crashing(crash_at)).look()
        await Run(pool.settings, pool, marks, journal).look()
        assert Counter(map(key_of, journal)) == expected, f"crash at step {crash_at}"


async def test_words_that_were_heard_do_not_stand_for_others_of_the_same_moment(gerrit, pool, marks, change):
    run = Run(pool.settings, pool, marks, [])
    await run.look()
    run.journal.clear()
    gerrit.comment(change.number, by="dev", message="recheck")
    told: list[Event] = []
    stream = asyncio.create_task(EventStream(pool.settings, told.append).run())
    await when(lambda: gerrit.listeners, "the stream")
    gerrit.comment(change.number, by="dev", message="thanks")
    await when(lambda: comments(told), "the second comment")
    stream.cancel()
    run.catching_up.arrived(*comments(told))
    await run.look()
    assert [(each.comment or "").split("\n\n")[1] for each in comments(run.journal)] == ["thanks", "recheck"]


class Listening:
    """A whole listener behind a proxy, in a hurry."""

    def __init__(self, run: Run, settings) -> None:
        self.run = run
        self._stream = EventStream(settings, run.catching_up.arrived, run.catching_up.gap)

    async def __aenter__(self):
        self._tasks = [asyncio.create_task(each.run()) for each in (self._stream, self.run.catching_up)]
        return self

    async def __aexit__(self, *_):
        for each in self._tasks:
            each.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@pytest.mark.parametrize("seed", SEEDS)
async def test_wherever_the_connection_is_cut_each_happening_is_taken_once(gerrit, marks, monkeypatch, seed):
    monkeypatch.setattr(stream_module, "FIRST_PAUSE_S", 0.02)
    monkeypatch.setattr(stream_module, "LONGEST_PAUSE_S", 0.05)
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.02)
    chance = random.Random(seed)  # noqa: S311  # a history, not a secret
    async with tcp_proxy(gerrit.port) as proxy, contextlib.AsyncExitStack() as parts:
        settings = settings_for(gerrit, port=proxy.port, reconcile_interval_s=0.2)
        pool = CommandPool(settings)
        parts.push_async_callback(pool.close)
        run = Run(settings, pool, marks, [])
        await run.look()
        await parts.enter_async_context(Listening(run, settings))
        await when(lambda: gerrit.listeners, "the stream")
        numbers: list[int] = []
        for step in range(12):
            if step % 4 == 0:
                proxy.cut_after(from_server=chance.randrange(1, 4000))
            if step % 3 == 0:
                number = len(numbers)
                change = gerrit.create_change(PROJECT, {f"file-{number}": "x\n"}, "Change\n", by="dev")
                numbers.append(change.number)
            else:
                gerrit.comment(chance.choice(numbers), by="dev", message=f"comment {step}")
            await asyncio.sleep(chance.random() * 0.05)  # the seed says when
        await when(lambda: len(of_changes(run.journal)) >= 12, "all that happened")
        looked = run.catching_up.state.at
        await when(lambda: run.catching_up.state.at != looked, "one more look")
    taken = of_changes(run.journal)
    assert kinds(taken) == {"patchset-created": 4, "comment-added": 8}
    assert len({(key_of(each), each.comment) for each in taken}) == 12
