"""Histories of the simulation, recorded as the service records them, with snapshots in between."""

from __future__ import annotations

from pathlib import Path

from scripted_world import World
from simulate import history
from simulated_layouts import random_layouts
from simulated_world import SimulatedWorld
from sqlalchemy import select

from ci_gate.daemon.layouts import digest_of, encode_layout
from ci_gate.daemon.outstanding import Outstanding
from ci_gate.daemon.records import RecordingOracle, encode_answers, encode_effects, encode_input
from ci_gate.daemon.recovery import Standing, keep
from ci_gate.model.layout import Layout
from ci_gate.model.options import SchedulerSettings
from ci_gate.scheduler.explain import Decision
from ci_gate.scheduler.scheduler import Scheduler
from ci_gate.store.journal import Entry, Journal, default_address
from ci_gate.store.tables import layouts as layout_table

OPTIONS = SchedulerSettings(url_pattern="{job.name}", report_times=False)  # those of the simulated world


class Recorder:
    """Keeps the steps of any scheduler in a journal. ``decisions`` are those of each step."""

    def __init__(self, folder: Path, options: SchedulerSettings = OPTIONS) -> None:
        self.address = default_address(folder)
        self.journal = Journal(self.address)
        self.journal.open()
        self.options = options
        self.seq = 0
        self.outstanding = Outstanding()
        self.decisions: list[tuple[Decision, ...]] = []

    def snapshot(self, scheduler: Scheduler, at: float = 1.0) -> None:
        digest = digest_of(encode_layout(scheduler.layout))
        standing = Standing(self.seq, digest, scheduler.layout, scheduler, self.options, {}, self.outstanding, [])
        keep(self.journal, standing, at)

    def step(self, message, answers, effects, decisions=()) -> None:
        self.seq += 1
        body = encode_input(message, self._keep_layout)
        entry = Entry(
            self.seq, message.at, type(message).__name__, body, encode_answers(answers), encode_effects(effects)
        )
        self.journal.append([entry], released=self.seq)
        self.outstanding.step(message, effects)
        self.decisions.append(tuple(decisions))

    def layouts(self) -> list[str]:
        """The text of every layout that a snapshot names."""
        with self.journal._connection.begin():  # no question of the service's
            return list(self.journal._connection.scalars(select(layout_table.c.body)))

    def _keep_layout(self, layout: Layout) -> str:
        text = encode_layout(layout)
        self.journal.keep_layout(digest_of(text), text)
        return digest_of(text)


class RecordedHistory(Recorder):
    """A random history of the simulation; a snapshot at the beginning and after some of its acts."""

    def __init__(self, folder: Path, seed: int, snapshots: tuple[int, ...] = (100, 180)) -> None:
        super().__init__(folder)
        self.world = SimulatedWorld(random_layouts(seed), self._record)
        self.snapshot(self.world.scheduler)
        for number, (what, which) in enumerate(history(seed)):
            self.world.act(what, which)
            if number in snapshots:
                self.snapshot(self.world.scheduler)

    def _record(self, world: SimulatedWorld, effects: list) -> None:
        self.step(world.inputs[-1], [], effects, world.scheduler.last_decisions)


class RecordedScript(Recorder):
    """A scripted world whose every step is recorded, from its beginning on."""

    def __init__(self, folder: Path, world: World) -> None:
        super().__init__(folder, world.options)
        self.go_on_with(world)

    def go_on_with(self, world: World) -> None:
        """As a start does: with a snapshot, which has the settings."""
        self.world = world
        self.oracle = RecordingOracle(world.oracle)
        world.scheduler._oracle = self.oracle  # the service's own wiring
        self._handle = world.scheduler.handle
        world.scheduler.handle = self._recorded
        self.snapshot(world.scheduler)

    def _recorded(self, message):
        effects = self._handle(message)
        self.step(message, self.oracle.take(), effects, self.world.scheduler.last_decisions)
        return effects


def write_config(folder: Path) -> Path:
    """A configuration file of a service that works in a folder, and is not there to run."""
    config = folder / "ci.conf"
    lines = ["[gearman]", "server = 127.0.0.1", "[gerrit]", "server = review.example.org", "user = ci-user"]
    lines += ["password = correct-horse", "baseurl = https://review.example.org"]
    lines += ["[zuul]", f"state_dir = {folder}", f"layout_config = {folder}/layout.yaml"]
    config.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return config
