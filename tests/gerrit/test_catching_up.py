"""Whatever breaks, and wherever: each happening becomes one event."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from gerrit_parts import PROJECT, settings_for, when
from sqlalchemy.exc import OperationalError

from ci_gate.daemon import catching_up as module
from ci_gate.daemon.catching_up import CatchingUp, Surroundings, Wanted
from ci_gate.gerrit import stream as stream_module
from ci_gate.gerrit.commands import CommandPool, NotSentError, OutcomeUnknownError
from ci_gate.gerrit.events import event_of
from ci_gate.gerrit.events_log import EventsLogError
from ci_gate.gerrit.seen import key_of
from ci_gate.gerrit.ssh_access import SshAccess
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

    def __init__(self, settings, access, marks: Marks, journal: list[Event], crashing: Crashing | None = None) -> None:
        self.journal, self.crashing = journal, crashing or Crashing()
        self.marks = marks
        around = Surroundings(
            wanted=lambda: Wanted([PROJECT, OTHER], [PROJECT]),
            take=self._take,
            backlog=lambda: 0,
            journaled=self._journaled,
        )
        self.catching_up = CatchingUp(settings, access, self, around)
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


async def test_a_look_finds_all_that_happened_and_a_second_one_nothing(gerrit, access, marks):
    run = Run(access.settings, access, marks, [])
    assert await run.look() is None
    happen(gerrit)
    assert await run.look() is None
    assert kinds(run.journal) == KINDS
    assert all(each.caught_up for each in run.journal)
    votes = {each.comment: {vote.label: vote.value for vote in each.votes} for each in run.journal if each.votes}
    assert votes["Patch Set 2: Code-Review+1\n\nLooks good"] == {"Code-Review": 1}
    assert await run.look() is None
    assert kinds(run.journal) == KINDS


async def test_what_the_stream_tells_after_a_look_found_it_is_no_news(gerrit, access, marks):
    run = Run(access.settings, access, marks, [])
    await run.look()
    told: list[Event] = []
    stream = asyncio.create_task(EventStream(access.settings, told.append).run())
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


async def test_the_same_words_twice_are_two_comments(gerrit, access, marks, change):
    run = Run(access.settings, access, marks, [])
    await run.look()
    run.journal.clear()
    gerrit.comment(change.number, by="dev", message="recheck")
    gerrit.comment(change.number, by="dev", message="recheck")
    await run.look()
    await run.look()
    assert kinds(run.journal) == {"comment-added": 2}


async def test_many_changes_come_in_pages(gerrit, access, marks):
    for number in range(25):
        gerrit.create_change(PROJECT, {f"file-{number}": "x\n"}, "Change\n", by="dev")
    object.__setattr__(gerrit._site.settings, "query_limit", 7)  # a server's own limit, which it keeps to itself
    run = Run(access.settings, access, marks, [])
    assert await run.look() is None
    assert kinds(run.journal) == {"patchset-created": 25}


async def test_a_crash_at_any_step_of_a_look_neither_loses_nor_repeats(gerrit, access, marks):
    counting = Run(access.settings, access, marks, [])
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
            await Run(access.settings, access, marks, journal, Crashing(crash_at)).look()
        await Run(access.settings, access, marks, journal).look()
        assert Counter(map(key_of, journal)) == expected, f"crash at step {crash_at}"


async def test_words_that_were_heard_do_not_stand_for_others_of_the_same_moment(gerrit, access, marks, change):
    run = Run(access.settings, access, marks, [])
    await run.look()
    run.journal.clear()
    gerrit.comment(change.number, by="dev", message="recheck")
    told: list[Event] = []
    stream = asyncio.create_task(EventStream(access.settings, told.append).run())
    await when(lambda: gerrit.listeners, "the stream")
    gerrit.comment(change.number, by="dev", message="thanks")
    await when(lambda: comments(told), "the second comment")
    stream.cancel()
    run.catching_up.arrived(*comments(told))
    await run.look()
    assert [(each.comment or "").split("\n\n")[1] for each in comments(run.journal)] == ["thanks", "recheck"]


class Failing:
    """In the place of a pool: one command, counted, is lost before it is sent, or its answer is.

    The real pool repeats what may be repeated; what comes out of it is this.
    """

    def __init__(self, pool: CommandPool, at: int | None = None, *, carried_out: bool = False) -> None:
        self.settings, self._pool = pool.settings, pool
        self.at, self.carried_out, self.commands = at, carried_out, 0

    async def run(self, command, **options):
        self.commands += 1
        if self.commands != self.at:
            return await self._pool.run(command, **options)
        if self.carried_out:
            await self._pool.run(command, **options)
            raise OutcomeUnknownError("the connection broke")
        raise NotSentError("cannot reach Gerrit")


class Trouble(Crashing):
    """Not the process ends, but the journal or the database cannot be written at one of the steps."""

    def step(self) -> None:
        self.steps += 1
        if self.steps == self.at:
            raise OperationalError("INSERT", {}, OSError("disk full"))


def failing_access(access, *given, **options) -> tuple[SshAccess, Failing]:
    """A way to the same Gerrit over such a pool."""
    made = SshAccess(access.settings)
    made.pool = failing = Failing(access.pool, *given, **options)
    return made, failing


async def commands_of_a_look(access, marks) -> tuple[int, Counter]:
    counted, counting = failing_access(access)
    run = Run(access.settings, counted, marks, [])
    assert await run.look() is None
    return counting.commands, Counter(map(key_of, run.journal))


@pytest.mark.parametrize("carried_out", [False, True])
@pytest.mark.parametrize("restarted", [False, True])
async def test_a_connection_lost_at_any_query_page_or_listing_neither_loses_nor_repeats(
    gerrit, access, marks, carried_out, restarted
):
    await Run(access.settings, access, marks, []).look()
    mark = marks.load("gerrit")
    object.__setattr__(gerrit._site.settings, "query_limit", 2)
    for number in range(5):
        gerrit.create_change(PROJECT, {f"file-{number}": "x\n"}, "Change\n", by="dev")
    happen(gerrit)
    commands, expected = await commands_of_a_look(access, marks)
    assert commands >= 5, "pages, and where branches stand"
    for lost in range(1, commands + 1):
        marks.keep("gerrit", mark)
        journal: list[Event] = []
        failing, _ = failing_access(access, lost, carried_out=carried_out)
        run = Run(access.settings, failing, marks, journal)
        assert await run.look() is not None
        assert marks.load("gerrit").since == mark.since, "not all was seen: the mark stays"
        again = Run(access.settings, access, marks, journal) if restarted else run
        assert await again.look() is None
        assert Counter(map(key_of, journal)) == expected, f"command {lost}"


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_journal_that_fails_at_any_step_neither_loses_nor_repeats(gerrit, access, marks, restarted):
    await Run(access.settings, access, marks, []).look()
    mark = marks.load("gerrit")
    happen(gerrit)
    counting = Run(access.settings, access, marks, [])
    await counting.look()
    expected = Counter(map(key_of, counting.journal))
    steps = counting.crashing.steps
    for failing_at in range(steps - 2, steps + 1):  # all is written; the mark is about to move; it has moved
        marks.keep("gerrit", mark)
        journal: list[Event] = []
        run = Run(access.settings, access, marks, journal, Trouble(failing_at))
        assert "disk full" in (await run.look() or "")
        again = Run(access.settings, access, marks, journal) if restarted else run
        assert await again.look() is None
        assert Counter(map(key_of, journal)) == expected, f"step {failing_at} of {steps}"


@pytest.mark.parametrize("command", ["query", "git-upload-pack"])
@pytest.mark.parametrize("nth", [1, 2])
async def test_a_connection_cut_in_the_middle_of_an_answer_is_no_loss(gerrit, access, marks, command, nth):
    run = Run(access.settings, access, marks, [])
    await run.look()
    object.__setattr__(gerrit._site.settings, "query_limit", 2)
    happen(gerrit)
    if nth == 1:
        gerrit.faults.cut(command)
    else:  # and once more at the repeat, so that the look itself fails
        gerrit.faults.cut(command, times=2)
    problem = await run.look()
    assert (problem is None) == (nth == 1)
    assert await run.look() is None
    assert kinds(run.journal) == KINDS


class Recording(EventStream):
    """Keeps the lines as well: what the events-log plugin would keep."""

    def __init__(self, *given) -> None:
        super().__init__(*given)
        self.lines: list[dict] = []

    def take_lines(self, lines: list[str]) -> None:
        self.lines += map(json.loads, lines)
        super().take_lines(lines)


@asynccontextmanager
async def recorded(gerrit, access):
    """The lines of all that happens inside."""
    stream = Recording(access.settings, lambda _: None)
    task = asyncio.create_task(stream.run())
    await when(lambda: gerrit.listeners, "the stream")
    yield stream.lines
    task.cancel()


def with_log(run: Run, lines: list[dict], calls: list | None = None) -> Run:
    async def logged(since: float, until: float) -> list[dict]:
        if calls is not None:
            calls.append((since, until))
        return lines

    run.catching_up._around = replace(run.catching_up._around, logged=logged)
    return run


async def test_what_gerrits_log_has_is_taken_once_and_queries_find_it_no_more(gerrit, access, marks):
    await Run(access.settings, access, marks, []).look()
    mark = marks.load("gerrit")
    async with recorded(gerrit, access) as lines:
        happen(gerrit)
        gerrit.set_wip(2, by="dev", wip=True)
        await when(lambda: any(each["type"] == "wip-state-changed" for each in lines), "all events")
    by_queries = Run(access.settings, access, marks, [])
    await by_queries.look()
    marks.keep("gerrit", mark)
    run = with_log(Run(access.settings, access, marks, []), lines)
    assert await run.look() is None
    found = Counter(map(key_of, run.journal))
    assert max(found.values()) == 1
    assert set(map(key_of, by_queries.journal)) <= set(found)
    assert len([each for each in run.journal if each.type == "patchset-created"]) == 3, "replaced patch sets too"
    taken = len(run.journal)
    assert await run.look() is None
    assert len(run.journal) == taken
    again = with_log(Run(access.settings, access, marks, run.journal), lines)
    assert await again.look() is None
    assert len(run.journal) == taken, "nor after a restart"


async def test_what_the_stream_told_is_no_news_in_the_log_and_the_same_words_twice_are_two(
    gerrit, access, marks, change
):
    run = Run(access.settings, access, marks, [])
    await run.look()
    run.journal.clear()
    async with recorded(gerrit, access) as lines:
        for _ in range(3):
            gerrit.comment(change.number, by="dev", message="recheck")
        await when(lambda: len([each for each in lines if each["type"] == "comment-added"]) == 3, "the comments")
    first = next(each for each in lines if each["type"] == "comment-added")
    run.catching_up.arrived(event_of(first, access.settings))
    with_log(run, lines)
    await run.look()
    await run.look()
    assert len(comments(run.journal)) == 3


async def test_times_that_differ_between_log_and_query_are_no_reason_to_take_a_thing_twice(gerrit, access, marks):
    """Events are dated when they are sent, a little after what they tell of."""
    await Run(access.settings, access, marks, []).look()
    async with recorded(gerrit, access) as lines:
        happen(gerrit)
        await when(lambda: any(each["type"] == "change-merged" for each in lines), "all events")
    late = [each | {"eventCreatedOn": each["eventCreatedOn"] + 1} for each in lines]
    journal: list[Event] = []
    for _ in range(3):  # each one after a restart
        assert await with_log(Run(access.settings, access, marks, journal), late).look() is None
    told = [each for each in journal if each.type in ("comment-added", "change-merged", "patchset-created")]
    assert kinds(told) == {"patchset-created": 3, "comment-added": 3, "change-merged": 1}


async def test_events_of_other_projects_in_the_log_are_none_of_ours(gerrit, access, marks):
    run = with_log(Run(access.settings, access, marks, []), [
        {"type": "comment-added", "change": {"project": "not/ours", "branch": "b", "number": 1}, "eventCreatedOn": 1},
        {"type": "comment-added", "change": None},
        {"type": "project-created"},
    ])  # fmt: skip
    assert await run.look() is None
    assert run.journal == []


@pytest.mark.parametrize(("installed", "calls_expected"), [(True, 2), (False, 1)])
async def test_a_log_that_does_not_answer_is_no_reason_to_miss_anything(
    gerrit, access, marks, installed, calls_expected
):
    run, calls = Run(access.settings, access, marks, []), []

    async def logged(since: float, until: float) -> list[dict]:
        calls.append((since, until))
        raise EventsLogError("away", installed=installed)

    run.catching_up._around = replace(run.catching_up._around, logged=logged)
    assert await run.look() is None
    happen(gerrit)
    assert await run.look() is None
    assert kinds(run.journal) == KINDS
    assert len(calls) == calls_expected


async def test_a_draft_that_was_seen_and_is_published_is_told_once(access, marks):
    """Gerrit before 2.15; no such server is here, so that the rows are made up."""
    run = Run(access.settings, access, marks, [])
    patch_set = {"number": "1", "ref": "refs/changes/01/1/1", "createdOn": 5, "uploader": {"username": "dev"}}
    row = {"project": PROJECT, "branch": "master", "number": "1", "status": "DRAFT"}
    draft = row | {"currentPatchSet": patch_set | {"isDraft": True}}
    published = row | {"status": "NEW", "currentPatchSet": patch_set}
    found = [run.catching_up._published(each) for each in (published, draft, draft, published, published)]
    assert [[each.type for each in events] for events in found] == [[], [], [], ["draft-published"], []]
    (event,) = found[3]
    assert (event.number, event.patchset, event.account.username, event.caught_up) == ("1", "1", "dev", True)
    assert run.catching_up._published({"project": PROJECT, "number": "1"}) == []


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
        access = SshAccess(settings)
        parts.push_async_callback(access.close)
        run = Run(settings, access, marks, [])
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
