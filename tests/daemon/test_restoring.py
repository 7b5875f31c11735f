"""What another host's merger made is found in the journal, and asked for as it was begun."""

from __future__ import annotations

import json

import pytest
from structlog.testing import capture_logs

from ci_gate.daemon.records import encode_effects, encode_input
from ci_gate.daemon.restoring import MadeState, restore_states, states_made
from ci_gate.model.build import Precedence
from ci_gate.model.merge import BaseCommit, MergeAnswer, MergeMode, MergeOutcome, MergeRequest
from ci_gate.scheduler.effects import Merge
from ci_gate.scheduler.inputs import MergeAnswered, TimerFired
from ci_gate.store.journal import Entry, Journal


class Asked:
    """A journal of merges."""

    def __init__(self, address: str) -> None:
        self.journal = Journal(address)
        self.seq = 0

    def ask(self, name: str, ahead: str | None = None) -> None:
        self._keep(TimerFired(1.0, "x"), [Merge(request(name, ahead), Precedence.NORMAL)])

    def answer(self, name: str, outcome: MergeOutcome = MergeOutcome.MERGED) -> None:
        bases = (BaseCommit("other", "master", "no"), BaseCommit("app", "master", f"base of {name}"))
        self._keep(MergeAnswered(1.0, MergeAnswer(name, outcome, commit=f"commit of {name}", bases=bases)), [])

    def _keep(self, message, effects) -> None:
        self.seq += 1
        texts = (encode_input(message, json.dumps), "[]", encode_effects(effects))
        self.journal.append([Entry(self.seq, 1.0, type(message).__name__, *texts)], released=0)

    def made(self, *in_use: str) -> list[str]:
        return [each.request.ref for each in states_made(self.journal, in_use)]


def request(name: str, ahead: str | None = None) -> MergeRequest:
    return MergeRequest(name, "gerrit", "app", "master", "refs/changes/1", "1", "2", MergeMode.MERGE, ahead=ahead)


@pytest.fixture
def asked(journal_address):
    asked = Asked(journal_address)
    yield asked
    asked.journal.close()


def test_states_in_use_come_with_their_base_and_behind_what_they_stand_on(asked):
    for name, ahead in (("Zold", None), ("Za", "Zold"), ("Zother", None), ("Zb", "Za")):
        asked.ask(name, ahead)
        asked.answer(name)
    assert asked.made("Zb") == ["Zold", "Za", "Zb"]
    (state,) = states_made(asked.journal, ["Zother"])
    assert state == MadeState(request("Zother"), "commit of Zother")
    assert state.request.base == "base of Zother"


def test_a_state_that_was_asked_for_again_after_its_followers_still_comes_first(asked):
    asked.ask("Za")
    asked.ask("Zb", "Za")
    asked.ask("Za")
    asked.answer("Za")
    asked.answer("Zb")
    assert asked.made("Zb", "Za") == ["Za", "Zb"]


def test_what_was_never_made_is_left_to_the_scheduler(asked):
    asked.ask("Zpending")
    asked.ask("Zconflict")
    asked.answer("Zconflict", MergeOutcome.CONFLICT)
    assert asked.made("Zpending", "Zconflict", "Zunknown") == []


class Broken:
    async def merge(self, asked):
        if asked.ref == "Zbroken":
            raise OSError("no space")
        return MergeAnswer(asked.ref, MergeOutcome.MERGED, commit=f"commit of {asked.ref}")


async def test_what_cannot_be_made_harms_nothing_else():
    names = ("Zbroken", "Zgood")
    with capture_logs() as logs:
        await restore_states(Broken(), [MadeState(request(name), f"commit of {name}") for name in names])
        await restore_states(Broken(), [])
    (told,) = [each for each in logs if each["event"].endswith("cannot be made as they were")]
    assert (told["states"], told["first"]) == (1, "Zbroken")
