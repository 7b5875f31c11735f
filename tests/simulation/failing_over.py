"""Random histories of two services: the leader dies or stands still anywhere, and the one that followed goes on.

The journal, its epochs and the follower are the real ones. Of the last step's effects any part may have left before
the leader was gone; what was on its way lands later, when the next one leads. What the next one does again meets a
world that may have it already, as job servers and Gerrit do.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from invariants import check_all
from simulated_layouts import random_layouts
from simulated_world import ANSWERS, NoFunctions, SimulatedWorld

from ci_gate.daemon.following import Follower
from ci_gate.daemon.layouts import digest_of, encode_layout
from ci_gate.daemon.outstanding import Outstanding
from ci_gate.daemon.records import encode_answers, encode_effects, encode_input
from ci_gate.daemon.recovery import Standing, keep
from ci_gate.model.report import DeliveryOutcome
from ci_gate.scheduler.effects import CancelBuild, Effect, LaunchBuild, SendReport, SetTimer, VerifySubmit
from ci_gate.scheduler.inputs import Input
from ci_gate.store.estimates import FileEstimates
from ci_gate.store.journal import DeposedError, Entry, Journal
from ci_gate.store.tables import progress

DEPOSED, DIES = 0.02, 0.04
LANDS_AFTER = 6  # inputs, at most


class FailingOverWorld(SimulatedWorld):
    """``posted``: the reports that the other side has."""

    def __init__(self, address: str, folder: Path, seed: int) -> None:
        self.epoch, self.seq, self.failovers = 0, 0, 0
        self.posted: set[int] = set()
        self._address, self._estimates = address, FileEstimates(folder)
        self._chance = random.Random(seed)
        self._late: list[tuple[int, Effect]] = []
        self._journal = Journal(address)
        self._journal.open()
        super().__init__(random_layouts(seed), check_all)
        digest, layout = digest_of(encode_layout(self.layouts[0])), self.layouts[0]
        keep(self._journal, Standing(0, digest, layout, self.scheduler, self._options, {}, Outstanding(), []), 1.0)
        self._follower = self._new_follower()

    @property
    def _options(self):
        return self.scheduler._state.options

    def _new_follower(self) -> Follower:
        follower = Follower(Journal(self._address), self._estimates)
        follower.follow()
        return follower

    # --- steps ---

    def handle(self, message: Input) -> None:
        self._land()
        if isinstance(message, ANSWERS):
            self.answers.append(message)
        effects = self.scheduler.handle(message)
        fate = self._chance.random()
        if fate < DEPOSED:
            self._depose(message, effects)
            self.handle(message)  # it is told to the next leader too: as an answer to what it asks, or as missed
            return
        self._append(self._journal, self.seq + 1, message, effects)
        self.seq += 1
        self.inputs.append(message)
        self.outputs.append(effects)
        self.check(self, effects)
        if fate < DIES:
            self._leave_in_part(effects)
            self._take_over(json.dumps(self.scheduler.snapshot()))
        else:
            self._carry_out(effects)
        if self._chance.random() < 0.3:
            self._follower.follow()

    def _leave_in_part(self, effects: list[Effect]) -> None:
        """Reports that are on their way land before the next leader looks for them; the lease sees to that."""
        left = self._chance.randrange(len(effects) + 1)
        on_its_way = self._chance.randrange(left, len(effects) + 1)
        late = effects[left:on_its_way]
        self._carry_out([*effects[:left], *(each for each in late if isinstance(each, SendReport))])
        lands_at = len(self.inputs) + self._chance.randrange(LANDS_AFTER)
        self._late += [(lands_at, each) for each in late if isinstance(each, LaunchBuild | CancelBuild)]

    def _append(self, journal: Journal, seq: int, message: Input, effects: list[Effect]) -> None:
        body = encode_input(message, self._keep_layout)
        texts = (body, encode_answers([]), encode_effects(effects))
        journal.append([Entry(seq, message.at, type(message).__name__, *texts)], released=seq - 1)

    def _keep_layout(self, layout) -> str:
        text = encode_layout(layout)
        self._journal.keep_layout(digest_of(text), text)
        return digest_of(text)

    def _depose(self, message: Input, effects: list[Effect]) -> None:
        """The leader has decided, and stood still before it wrote; when it wakes its commit is refused."""
        old = self._journal
        self._take_over()
        with pytest.raises(DeposedError):
            self._append(old, self.seq + 1, message, effects)
        old.close()

    def _take_over(self, stood: str = "") -> None:
        """``stood``: the memory of the leader before, as text."""
        self.failovers += 1
        self.epoch += 1
        new = Journal(self._address, self.epoch)
        with new._connection.begin():  # what ``LeaderSession.take`` does, on PostgreSQL
            if not new._connection.execute(progress.update().values(epoch=self.epoch)).rowcount:
                new._connection.execute(progress.insert().values(name="released", seq=0, epoch=self.epoch))
        self._journal, standing = new, self._follower.stand()
        assert standing.seq == self.seq
        assert json.dumps(standing.scheduler.snapshot()) == stood or not stood
        standing.ask(NoFunctions())
        self.scheduler = standing.scheduler
        again = [*standing.unsure, *standing.outstanding]
        keep(new, standing, self.at)
        self._follower.close()
        self._follower = self._new_follower()
        self._carry_out(again)

    # --- the world, to which things may come twice ---

    def give_report(self, number: int, outcome: DeliveryOutcome, *, submits: bool = True) -> None:
        """What is there already is found, and not posted again."""
        if number in self.posted:
            outcome, submits = DeliveryOutcome.DELIVERED, False
        elif outcome is DeliveryOutcome.DELIVERED:
            self.posted.add(number)
        super().give_report(number, outcome, submits=submits)

    def _land(self) -> None:
        landing = [each for due, each in self._late if due <= len(self.inputs)]
        self._late = [(due, each) for due, each in self._late if due > len(self.inputs)]
        self._carry_out(landing)

    def _carry_out(self, effects: list[Effect]) -> None:
        for each in effects:
            self._take(each)

    def _take(self, effect: Effect) -> None:
        match effect:
            case LaunchBuild() if effect.request.uuid in self.builds:
                return  # the job server has it already
            case CancelBuild() if effect.uuid not in self.builds:
                return
            case SendReport() if effect.report_id in self.reports:
                return
            case VerifySubmit() if effect.item in self.verifications:
                return
            case SetTimer():
                if effect not in self.timers:
                    self.timers.append(effect)
            case _:
                super()._take(effect)

    def close(self) -> None:
        self._journal.close()
        self._follower.close()
