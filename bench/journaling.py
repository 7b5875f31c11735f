"""The journal: how many inputs it takes, what it adds to one, and how soon a restart decides again.

``python -m bench.journaling FOLDER`` is such a restart: it says how long its process has run when it has decided.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tempfile
import time
from asyncio.subprocess import PIPE
from pathlib import Path

from bench.figures import Figure
from bench.scheduling import Bench
from ci_gate.config.functions import Functions
from ci_gate.config.layout import LoadedLayout
from ci_gate.config.settings import Settings
from ci_gate.daemon.beginning import begin
from ci_gate.daemon.layouts import digest_of, encode_layout
from ci_gate.daemon.leadership import Lead
from ci_gate.daemon.outstanding import Outstanding
from ci_gate.daemon.recorder import Recorder
from ci_gate.daemon.records import encode_effects, encode_input
from ci_gate.daemon.recovery import Standing, keep
from ci_gate.daemon.snapshotting import EVERY
from ci_gate.daemon.standing_by import Turn
from ci_gate.model.options import SchedulerSettings
from ci_gate.scheduler.effects import Effect
from ci_gate.scheduler.inputs import Input, TimerFired
from ci_gate.store.journal import Entry, Journal, default_address

RUNS = 5
MANY = 10_000
SINGLE = 200
ITEMS = 1_000
QUEUES = 50  # so that the builds of all items run, as with a window of 20
PAUSE_S = 0.02

Steps = list[tuple[Input, list[Effect]]]


class Recorded(Bench):
    """Keeps what it decides."""

    def __init__(self) -> None:
        super().__init__(QUEUES)
        self.steps: Steps = []

    def decide(self, message: Input) -> list[Effect]:
        effects = super().decide(message)
        self.steps.append((message, effects))
        return effects


async def measure() -> list[Figure]:
    bench = Recorded()
    while len(bench.steps) < MANY:
        bench.join()
    rates, added = [], []
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory(prefix="ci-gate-bench-") as folder:
            rates.append(await _rate(Path(folder), bench.steps[:MANY]))
        with tempfile.TemporaryDirectory(prefix="ci-gate-bench-") as folder:
            added += await _added(Path(folder), bench.steps[:SINGLE])
    with tempfile.TemporaryDirectory(prefix="ci-gate-bench-") as folder:
        replayed = _site_under_load(Path(folder))
        restarts = [await _restart(Path(folder)) for _ in range(RUNS)]
    restarting = f"restart with {ITEMS:,} items building, {replayed:,} steps since the snapshot → decides"
    return [
        Figure("inputs journaled a second, synced to the disk", "/s", rates, "≥ 3,000"),
        Figure("added to one input by the journal, at light load", "ms", added, "< 5"),
        Figure(restarting, "s", [took for took, _ in restarts], "< 2"),
        Figure("the same, of a processor's time", "s", [used for _, used in restarts], ""),
    ]


async def _rate(folder: Path, steps: Steps) -> float:
    released = asyncio.Event()
    recorder = _recorder(folder, lambda count: released.set() if count == len(steps) else None)
    begun = time.perf_counter()
    for number, (message, effects) in enumerate(steps):
        recorder.record(message, [], effects)
        if number % 100 == 0:
            await asyncio.sleep(0)
    await released.wait()
    took = time.perf_counter() - begun
    await recorder.close()
    return len(steps) / took


async def _added(folder: Path, steps: Steps) -> list[float]:
    released = asyncio.Event()
    recorder = _recorder(folder, lambda _: released.set())
    times = []
    for message, effects in steps:
        released.clear()
        begun = time.perf_counter()
        recorder.record(message, [], effects)
        await released.wait()
        times.append((time.perf_counter() - begun) * 1000)
        await asyncio.sleep(PAUSE_S)
    await recorder.close()
    return times


def _recorder(folder: Path, told: object) -> Recorder:
    journal = Journal(default_address(folder))
    journal.open()
    journal.close()  # its thread opens one of its own
    count = 0

    def release(_: list[Effect]) -> None:
        nonlocal count
        count += 1
        told(count)  # type: ignore[operator]  # a function

    standing = Standing(0, "", None, None, None, {}, Outstanding(), [])  # type: ignore[arg-type]  # of no use here
    return Recorder(journal, standing, release=release, trouble=print)


def _site_under_load(folder: Path) -> int:
    """A journal as a crash leaves it at its worst: as many steps behind the snapshot as there may be."""
    bench = Recorded()
    for _ in range(ITEMS):
        bench.join()
    steps = bench.steps
    again, outstanding = Bench(QUEUES), Outstanding()
    first = max(1, len(steps) - EVERY)
    journal = Journal(default_address(folder))
    journal.open()
    layout = bench.scheduler.layout
    for seq, (message, effects) in enumerate(steps, 1):
        again.scheduler.handle(message)
        outstanding.step(message, effects)
        if seq == first:
            digest = digest_of(encode_layout(layout))
            keep(
                journal,
                Standing(seq, digest, layout, again.scheduler, SchedulerSettings(), {}, outstanding, []),
                message.at,
            )
    entries = [
        Entry(seq, message.at, type(message).__name__, encode_input(message, str), "[]", encode_effects(effects))
        for seq, (message, effects) in enumerate(steps, 1)
    ]
    journal.append(entries, released=len(steps))
    journal.close()
    return len(steps) - first


async def _restart(folder: Path) -> tuple[float, float]:
    """Seconds until it decides, and those of a processor in it. Each finds the journal as the first did."""
    with tempfile.TemporaryDirectory(prefix="ci-gate-bench-") as copy:
        shutil.copytree(folder, copy, dirs_exist_ok=True)
        command = [sys.executable, "-m", "bench.journaling", copy]
        begun = time.time()
        process = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
        out, _ = await process.communicate()
        assert process.returncode == 0
        decided_at, used, items = json.loads(out.splitlines()[-1])  # behind what the log says
        assert items == ITEMS
        return float(decided_at) - begun, float(used)


def restart(folder: Path) -> None:
    layout = Bench(QUEUES).scheduler.layout
    settings = Settings(folder / "ci.conf", folder / "layout.yaml", folder)
    beginning = begin(settings, LoadedLayout(layout, Functions({})), Turn(Lead()))
    scheduler = beginning.standing.scheduler
    scheduler.handle(TimerFired(2.0, "none"))
    decided_at, used = time.time(), time.process_time()
    items = len(scheduler.states_in_use())
    print(json.dumps([decided_at, used, items]))
    beginning.journal.close()


if __name__ == "__main__":
    restart(Path(sys.argv[1]))
