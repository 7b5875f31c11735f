"""A history of the simulation whose every step is in a journal."""

from __future__ import annotations

import sys
from pathlib import Path

from ci_gate.daemon.layouts import digest_of, encode_layout
from ci_gate.daemon.outstanding import Outstanding
from ci_gate.daemon.records import encode_answers, encode_effects, encode_input
from ci_gate.daemon.recovery import Standing, keep
from ci_gate.model.options import SchedulerSettings
from ci_gate.store.journal import Entry, Journal

sys.path.insert(0, str(Path(__file__).parent.parent / "simulation"))

from simulate import history
from simulated_layouts import random_layouts
from simulated_world import SimulatedWorld

OPTIONS = SchedulerSettings(url_pattern="{job.name}", report_times=False)


class RecordedWorld:
    """A history whose every step is in a journal, with a snapshot at the beginning and one in the middle."""

    def __init__(self, address: str, seed: int) -> None:
        self.journal = Journal(address)
        self.journal.open()
        self.seq = 0
        self.world = SimulatedWorld(random_layouts(seed), self._record)
        self.outstanding = Outstanding()
        self.keep()
        for number, (what, which) in enumerate(history(seed)):
            self.world.act(what, which)
            if number == 100:
                self.keep()

    def keep(self) -> None:
        scheduler = self.world.scheduler
        digest = digest_of(encode_layout(scheduler.layout))
        standing = Standing(self.seq, digest, scheduler.layout, scheduler, OPTIONS, {}, self.outstanding, [])
        keep(self.journal, standing, 1.0)

    def _record(self, world: SimulatedWorld, effects: list) -> None:
        message = world.inputs[-1]
        self.seq += 1
        body = encode_input(message, self._keep_layout)
        step = Entry(self.seq, message.at, type(message).__name__, body, encode_answers([]), encode_effects(effects))
        self.journal.append([step], released=self.seq - 1)
        self.outstanding.step(message, effects)

    def _keep_layout(self, layout) -> str:
        text = encode_layout(layout)
        self.journal.keep_layout(digest_of(text), text)
        return digest_of(text)
