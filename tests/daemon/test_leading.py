"""The right to act: kept by renewals, suspended without them, lost for good; and what waits for it."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace

import pytest

from ci_gate.daemon import leadership
from ci_gate.daemon.gate import Gate
from ci_gate.daemon.leadership import LEASE_S, SILENT_S, Lead, SharedLead, Silence, candidate
from ci_gate.scheduler.effects import QueryChange
from ci_gate.store.leadership import Leader

LEADER = Leader(3, 7, released=False, place="there", holder="ada", since=1.0, backend=5)


# --- when another may take over ---


def test_nobody_and_who_has_stopped_give_way_at_once():
    silence = Silence("here")
    assert silence.seen(None, 0.0)
    assert silence.seen(replace(LEADER, released=True), 0.0)


def test_who_was_here_before_is_dead_since_the_folder_could_be_locked():
    assert Silence("there").seen(LEADER, 0.0)


def test_a_leader_that_renews_is_left_alone():
    silence = Silence("here")
    for second in range(60):
        assert not silence.seen(replace(LEADER, renewals=second), float(second))


def test_a_silent_leader_is_taken_for_dead_only_after_its_lease_is_over_for_certain():
    silence = Silence("here")
    assert not silence.seen(LEADER, 100.0)
    assert not silence.seen(LEADER, 100.0 + SILENT_S - 0.01)
    assert silence.seen(LEADER, 100.0 + SILENT_S)
    assert SILENT_S > LEASE_S


def test_the_time_when_the_database_was_away_does_not_count():
    silence = Silence("here")
    assert not silence.seen(LEADER, 100.0)
    silence.out_of_sight()
    assert not silence.seen(LEADER, 200.0)
    assert silence.seen(LEADER, 200.0 + SILENT_S)


def test_a_place_is_a_machine_and_a_file(tmp_path):
    places = []
    for name in ("one", "two", "one"):
        with (tmp_path / name).open("a") as file:
            places.append(candidate(tmp_path, "port 1", file.fileno()).place)
    assert places[0] == places[2] != places[1]


# --- the lease ---


class Session:
    """``answers`` says what a renewal comes to; while ``hangs`` is set it does not come back."""

    dburi = "postgresql://ada:secret@db/ci"

    def __init__(self) -> None:
        self.answers: bool | Exception = True
        self.free = threading.Event()
        self.free.set()
        self.renewals = self.closed = 0
        self.released: list[int] = []

    def renew(self, epoch: int) -> bool:
        assert epoch == 4
        self.free.wait(20)
        self.renewals += 1
        if isinstance(self.answers, Exception):
            raise self.answers
        return self.answers

    def release(self, epoch: int) -> None:
        self.released.append(epoch)

    def close(self) -> None:
        self.closed += 1


async def when(condition) -> None:
    ends_at = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < ends_at
        await asyncio.sleep(0.001)


class Clock:
    """Goes on as real time does, and jumps ahead, as for a process that was stopped."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(leadership, "clock", clock)
    monkeypatch.setattr(leadership, "RENEW_S", 0.01)
    monkeypatch.setattr(leadership, "LOOK_S", 0.01)
    return clock


@pytest.fixture
async def session(clock):
    session = Session()
    yield session
    session.free.set()


@pytest.fixture
async def lead(session, clock):
    lead = SharedLead(session, 4, clock())
    yield lead
    session.free.set()
    await lead.close()


async def test_who_renews_may_act(lead, session):
    await when(lambda: session.renewals > 3)
    assert lead.holds()
    assert lead.health.state == "up"


async def test_who_wakes_after_the_lease_may_not_act_although_nothing_was_heard_yet(lead, session, clock):
    session.free.clear()
    assert lead.holds()
    clock.ahead += LEASE_S + 1
    assert not lead.holds()


async def test_a_renewal_counts_from_its_beginning(lead, session, clock):
    await when(lambda: session.renewals > 1)
    session.free.clear()
    await asyncio.sleep(0.05)  # a renewal has begun
    clock.ahead += LEASE_S + 1
    session.answers = OSError("gone")  # the one after it
    session.free.set()
    await when(lambda: session.closed)
    assert not lead.holds()


async def test_a_database_that_comes_back_lets_it_go_on(lead, session, clock):
    told = []
    lead.when_renewed(lambda: told.append("renewed"))
    session.answers = OSError("the server of secret\nis gone")
    await when(lambda: session.closed > 2)
    clock.ahead += LEASE_S + 1
    await when(lambda: lead.health.state == "connecting")
    assert lead.health.detail == "the server of ***"
    session.answers = True
    await when(lambda: told)
    assert lead.holds()
    assert not lead.lost


async def test_another_epoch_is_the_end(lead, session):
    told = []
    lead.when_lost(lambda: told.append("first"))
    session.answers = False
    await when(lambda: told)
    lead.lose("and again")
    lead.when_lost(lambda: told.append("second"))
    assert told == ["first", "second"]
    assert lead.lost == "the database has another epoch"
    assert not lead.holds()
    await lead.close()
    assert session.released == []


async def test_a_clean_stop_gives_it_back(lead, session):
    await lead.close()
    await lead.close()
    assert session.released == [4]
    assert not lead.holds()


# --- what waits for it ---


class Leave(Lead):
    def __init__(self) -> None:
        super().__init__()
        self.given = True

    def holds(self) -> bool:
        return self.given

    def renew(self) -> None:
        self.given = True
        for each in self._renewed:
            each()


def effects(*tickets: int) -> list[QueryChange]:
    return [QueryChange(each, "gerrit", "1") for each in tickets]


def test_effects_pass_while_it_may_act_and_wait_in_order_while_it_may_not():
    lead, released = Leave(), []

    def release(effects, *, again=False):
        released.extend(effects)

    gate = Gate(lead, release)
    gate.pass_on(effects(1))
    lead.given = False
    gate.pass_on(effects(2, 3))
    gate.pass_on(effects(4))
    assert released == effects(1)
    lead.renew()
    assert released == effects(1, 2, 3, 4)
    gate.pass_on(effects(5))
    assert released == effects(1, 2, 3, 4, 5)


def test_what_may_have_left_before_is_told_apart_however_long_it_waits():
    lead, released = Leave(), []
    gate = Gate(lead, lambda effects, *, again=False: released.append((effects, again)))
    lead.given = False
    gate.pass_on(effects(1), again=True)
    gate.pass_on(effects(2))
    lead.renew()
    assert released == [(effects(1), True), (effects(2), False)]
