"""What systemd is told, over a real datagram socket."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from pathlib import Path

import pytest

from ci_gate.daemon.inbox import Inbox
from ci_gate.daemon.notify import notify, tell_watchdog, watchdog_s
from ci_gate.daemon.progress import Progress
from ci_gate.model.event import Event
from ci_gate.scheduler.inputs import EventReceived, TimerFired

UNITS = Path(__file__).parent.parent.parent / "deploy" / "systemd"


@pytest.fixture
def systemd(tmp_path, monkeypatch):
    """The socket that systemd would read."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(tmp_path / "notify"))
        channel.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield channel


def told(systemd: socket.socket) -> list[str]:
    found = []
    while True:
        try:
            found.append(systemd.recv(100).decode())
        except BlockingIOError:
            return found


class FakeRecorder:
    def __init__(self) -> None:
        self.seq = self.released = 0
        self.problem: str | None = None


def test_it_hears_of_the_start(systemd):
    notify("READY=1")
    assert told(systemd) == ["READY=1"]


@pytest.mark.parametrize(
    ("given", "pid", "expected"),
    [("60000000", None, 60.0), ("500000", "own", 0.5), ("60000000", "1", None), ("", None, None), ("0", None, None)],
)
def test_its_limit_is_taken_if_it_is_meant_for_this_process(monkeypatch, given, pid, expected):
    monkeypatch.setenv("WATCHDOG_USEC", given)
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    if pid is not None:
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()) if pid == "own" else pid)
    assert watchdog_s() == expected


async def test_it_is_told_again_and_again_while_work_goes_on(systemd, monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "20000")
    telling = asyncio.create_task(tell_watchdog())
    heard: list[str] = []
    async with asyncio.timeout(10):
        while len(heard) < 5:
            heard += told(systemd)
            await asyncio.sleep(0.005)
    telling.cancel()
    assert set(heard) == {"WATCHDOG=1"}


async def test_a_loop_that_hangs_tells_it_nothing(systemd, monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "20000")
    telling = asyncio.create_task(tell_watchdog())
    await asyncio.sleep(0.05)
    assert told(systemd)
    time.sleep(0.3)  # noqa: ASYNC251  # as a step that does not end would
    assert not told(systemd)
    telling.cancel()


async def test_a_service_that_does_no_work_tells_it_nothing_though_its_loop_runs(systemd, monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "20000")
    stuck = asyncio.Event()
    telling = asyncio.create_task(tell_watchdog(stuck.is_set))
    await asyncio.sleep(0.05)
    assert told(systemd)
    stuck.set()
    told(systemd)
    await asyncio.sleep(0.1)
    assert not told(systemd)
    telling.cancel()


async def test_nobody_is_told_where_nobody_waits(monkeypatch):
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    async with asyncio.timeout(10):
        await tell_watchdog()


def test_inputs_that_nobody_takes_are_a_standstill():
    inbox, recorder = Inbox(), FakeRecorder()
    progress = Progress(inbox, recorder)
    assert [progress.is_stuck(), progress.is_stuck()] == [False, False], "nothing is to be done"
    inbox.put(lambda at: TimerFired(at, "x"))
    assert [progress.is_stuck(), progress.is_stuck()] == [False, True]
    recorder.seq += 1
    recorder.released += 1
    assert not progress.is_stuck(), "there are more, but one was taken"


def test_steps_that_are_not_written_are_a_standstill_unless_it_is_known_why():
    recorder = FakeRecorder()
    progress = Progress(Inbox(), recorder)
    recorder.seq = 3
    assert [progress.is_stuck(), progress.is_stuck()] == [False, True]
    recorder.released = 2
    assert not progress.is_stuck()
    assert progress.is_stuck()
    recorder.problem = "No space left on device"
    assert not progress.is_stuck()


def test_events_that_are_held_for_the_next_start_are_none():
    inbox = Inbox()
    progress = Progress(inbox, FakeRecorder())
    inbox.hold_events()
    inbox.put(lambda at: EventReceived(at, Event("x", "gerrit")))
    assert [progress.is_stuck() for _ in range(3)] == [False] * 3


@pytest.mark.parametrize("unit", sorted(UNITS.glob("*.service")), ids=lambda path: path.stem)
def test_units_that_say_when_they_are_ready_have_a_watchdog(unit):
    text = unit.read_text()
    assert ("Type=notify" in text) == ("WatchdogSec=" in text)
