"""The outbox of a shadow: reports count as delivered and go nowhere, and merged is what the live system merges."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import pytest

from ci_gate.daemon.inbox import Inbox
from ci_gate.daemon.shadowing import ShadowOutbox
from ci_gate.daemon.waits import Waits
from ci_gate.model.change import ChangeKey, Periodic, PeriodicKey
from ci_gate.model.item import ItemView
from ci_gate.model.modes import Precedence
from ci_gate.model.options import SchedulerSettings
from ci_gate.model.report import DeliveryOutcome, Mail, ResultRecord, Review
from ci_gate.scheduler.effects import SendReport, VerifySubmit
from ci_gate.scheduler.inputs import ReportAnswered, SubmitVerified
from ci_gate.scheduler.places import Place
from ci_gate.shadow.said import Kind, Said, Side

CHANGE = ChangeKey("gerrit", "12", "3")
PLACE = Place(
    7, CHANGE, "gate", 1.0, ItemView(Periodic(PeriodicKey("gerrit", "demo")), "gate", Precedence.NORMAL, "q", 1.0)
)
REVIEW = Review("gerrit", "demo", "12", "3", "Build succeeded.", labels=(("Verified", 2),), flags=("submit",))
SAID = Said("shadow 1", 1.0, Side.SHADOW, Kind.SUCCEEDED, "gerrit", "demo", "12", "3", "gate")


class Desk:
    """In the shadow's place: keeps what it is given, or cannot."""

    def __init__(self) -> None:
        self.kept: list[Said] = []
        self.problem: Exception | None = None

    def said(self, place: Place, review: Review, report: int) -> Said:
        return replace(SAID, id=f"shadow {report}")

    async def keep(self, said: Said) -> None:
        if self.problem is not None:
            raise self.problem
        self.kept.append(said)


class World:
    def __init__(self) -> None:
        self.inbox, self.desk = Inbox(), Desk()
        self.live: Said | None = None
        self.looks, self.merged_at_look = 0, 10**6
        scheduler = SimpleNamespace(whose_report=lambda _: PLACE, whose_verification=lambda _: PLACE)
        tools = dict.fromkeys(("tips", "builds", "estimates", "commands"))
        parts = {"inbox": self.inbox, "waits": Waits(), "gerrits": {}, "options": SchedulerSettings(), **tools}
        self.outbox = ShadowOutbox(self.desk, self, scheduler, merger=self, **parts)
        real = self.outbox._verifier  # with a Gerrit that answers from a table
        self.outbox._verifier = replace(real, query=self.look, interval_s=0.01, submit_s=60.0, replication_s=0.0)

    async def report_on(self, place: Place, key: ChangeKey) -> Said | None:
        assert (place, key) == (PLACE, CHANGE)
        return self.live

    async def look(self, connection: str, number: str) -> SimpleNamespace:
        self.looks += 1
        status = "MERGED" if self.looks >= self.merged_at_look else "NEW"
        patch_set = SimpleNamespace(revision="1" * 40)
        return SimpleNamespace(status=status, is_open=status == "NEW", patch_sets=[patch_set])

    async def contains(self, *_: object) -> bool:
        return True


async def answer_to(world: World, effect):
    world.outbox.release([effect])
    async with asyncio.timeout(10):
        return await world.inbox.take()


@pytest.fixture
async def world():
    world = World()
    yield world
    await world.outbox.close()


@pytest.mark.parametrize("report", [REVIEW, Mail("smtp", "s", "b"), ResultRecord("results", "gate", "demo", "text")])
async def test_every_report_counts_as_delivered_and_only_reviews_are_kept(world, report):
    answer = await answer_to(world, SendReport(1, report))
    assert isinstance(answer, ReportAnswered)
    assert (answer.report, answer.delivery.outcome) == (1, DeliveryOutcome.DELIVERED)
    assert len(world.desk.kept) == isinstance(report, Review)


async def test_a_report_that_cannot_be_kept_is_tried_again(world):
    world.desk.problem = OSError("disk full")
    answer = await answer_to(world, SendReport(1, REVIEW))
    assert (answer.delivery.outcome, answer.delivery.text) == (DeliveryOutcome.UNREACHABLE, "disk full")


VERIFY = VerifySubmit(7, "gerrit", "12", "demo", "master")


async def test_what_the_live_system_passed_is_merged_as_soon_as_gerrit_says_so(world):
    world.live, world.merged_at_look = replace(SAID, side=Side.LIVE), 3
    answer = await answer_to(world, VERIFY)
    assert isinstance(answer, SubmitVerified)
    assert (answer.item, answer.merged) == (7, True)
    assert world.looks == 3


@pytest.mark.parametrize("live", [replace(SAID, side=Side.LIVE, kind=Kind.FAILED), None], ids=["failed", "silent"])
async def test_what_the_live_system_did_not_pass_is_looked_at_once(world, live):
    world.live = live
    answer = await answer_to(world, VERIFY)
    assert (answer.merged, answer.reason) == (False, "the live system did not merge it")
    assert world.looks == 1


async def test_what_somebody_merged_without_the_live_system_counts_as_merged(world):
    world.merged_at_look = 1
    assert (await answer_to(world, VERIFY)).merged
