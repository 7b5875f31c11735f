"""A shadow's builds end with what the live system says of them, once each, or with no answer."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from ci_gate.daemon import live_results
from ci_gate.daemon.live_results import LiveResults
from ci_gate.model.build import BuildEnd, BuildRequest
from ci_gate.model.change import Account, ChangeKey, Periodic, PeriodicKey, Vote
from ci_gate.model.event import Event
from ci_gate.model.item import ItemView
from ci_gate.model.layout import GerritReporter, Job, JobNode, Layout, Pipeline, Project
from ci_gate.model.modes import Precedence
from ci_gate.scheduler.explain import Decisions
from ci_gate.scheduler.places import Place
from ci_gate.shadow.said import ASSUMED, NO_ANSWER, Kind, Said, Side

PROJECT = "demo/app"
CHANGE = ChangeKey("gerrit", "12", "3")
TEXT = "Build succeeded ({} pipeline).\n\n- unit https://ci.example.org/{}/unit/1 : SUCCESS in 5s\n"
FAILED = "Build failed (check pipeline).\n\n- unit https://ci.example.org/check/unit/1 : FAILURE\n"
PATIENCE_S = 3600.0


def a_layout() -> Layout:
    def pipeline(name: str) -> Pipeline:
        return Pipeline(name, success=(GerritReporter("gerrit", (("Verified", 1),)),))

    pipelines = (pipeline("check"), pipeline("gate"), Pipeline("quiet"))
    tree = (JobNode("unit"), JobNode("docs"))
    trees = {each.name: tree for each in pipelines}
    return Layout(pipelines, {"unit": Job("unit"), "docs": Job("docs")}, {PROJECT: Project(PROJECT, trees=trees)})


class Watched:
    """What is asked of the scheduler, answered from a table."""

    def __init__(self) -> None:
        self.layout = a_layout()
        self.decisions = Decisions()
        self.places: dict[str, Place] = {}

    def whose_build(self, uuid: str) -> Place | None:
        return self.places.get(uuid)

    def is_inside(self, pipeline: str, subject: object) -> bool:
        return any((each.pipeline, each.subject) == (pipeline, subject) for each in self.places.values())


class World:
    def __init__(self) -> None:
        self.scheduler = Watched()
        self.now = 1000.0
        self.ends: list[BuildEnd] = []
        self.kept: list[Said] = []
        self.live = self.another()

    def another(self) -> LiveResults:
        return LiveResults(
            self.scheduler,  # type: ignore[arg-type]  # it answers what is asked of it
            accounts={"gerrit": "zuul"},
            patience_s=PATIENCE_S,
            now=lambda: self.now,
            on_end=self.ends.append,
            keep=self.kept.append,
        )

    def enter(self, item: int = 1, pipeline: str = "check", *, key=CHANGE) -> Place:
        view = ItemView(Periodic(PeriodicKey("gerrit", PROJECT)), pipeline, Precedence.NORMAL, "q", self.now)
        return Place(item, key, pipeline, self.now, view)

    def launch(self, place: Place, job: str = "unit") -> str:
        uuid = f"{place.item}-{job}-{len(self.scheduler.places)}"
        self.scheduler.places[uuid] = place
        self.live.launch(BuildRequest(uuid, job, {}))
        return uuid

    def comment(self, text: str, *, by: str = "zuul", key=CHANGE) -> None:
        event = Event(
            "comment-added",
            key.connection,
            PROJECT,
            number=key.number,
            patchset=key.patchset,
            account=Account(username=by),
            votes=(Vote("Verified", 1), Vote("Code-Review", -1)),
            comment=f"Patch Set {key.patchset}: Verified+1\n\n{text}",
            created_on=int(self.now),
        )
        self.live.take(event, self.now)

    def merge(self, *, by: str = "zuul") -> None:
        event = Event(
            "change-merged", "gerrit", PROJECT, number="12", patchset="3", account=Account(username=by), created_on=1
        )
        self.live.take(event, self.now)

    def results(self) -> list[tuple[str, str | None, str]]:
        return [(each.uuid, each.result, each.reason) for each in self.ends]


@pytest.fixture
async def world():
    world = World()
    yield world
    world.live.close()


async def test_a_build_waits_for_the_report_and_takes_its_result_and_link(world):
    uuid = world.launch(world.enter())
    assert world.ends == []
    world.comment(TEXT.format("check", "check"))
    (said,), (end,) = world.kept, world.ends
    assert (said.votes, said.given, said.inside) == ({"verified": 1}, ("verified",), True)
    assert (end.uuid, end.result) == (uuid, "SUCCESS")
    assert end.last is not None
    assert end.last.url == "https://ci.example.org/check/unit/1"


async def test_a_report_that_came_before_the_build_was_launched_serves_it_at_once(world):
    place = world.enter()
    world.comment(FAILED)
    world.launch(place)
    assert [each.result for each in world.ends] == ["FAILURE"]


@pytest.mark.parametrize(
    ("text", "by"),
    [(TEXT.format("gate", "gate"), "zuul"), (TEXT.format("check", "check"), "somebody"), ("recheck", "zuul")],
)
async def test_other_pipelines_other_people_and_other_comments_answer_nothing(world, text, by):
    world.launch(world.enter())
    world.comment(text, by=by)
    assert world.ends == []


async def test_a_job_that_the_live_system_did_not_run_counts_as_a_success_and_says_so(world):
    docs = world.launch(world.enter(), "docs")
    world.comment(FAILED)
    assert world.results() == [(docs, "SUCCESS", ASSUMED)]


async def test_where_the_live_system_ran_no_jobs_there_is_no_answer(world):
    world.launch(world.enter())
    world.comment("Merge Failed.\n\nPlease rebase. (check pipeline)\n")
    assert [each.result for each in world.ends] == [NO_ANSWER]


async def test_each_report_serves_one_item_and_the_same_item_again_after_a_reset(world):
    first = world.enter(1)
    world.launch(first)
    world.comment(TEXT.format("check", "check"))
    world.launch(first, "unit")
    assert [each.result for each in world.ends] == ["SUCCESS", "SUCCESS"]
    world.launch(world.enter(2))
    assert len(world.ends) == 2, "a recheck waits for a report of its own"
    world.now += 1
    world.comment(FAILED)
    assert world.ends[2].result == "FAILURE"


async def test_an_old_report_does_not_serve_a_later_item(world):
    world.comment(TEXT.format("check", "check"))
    world.now += 3600
    world.launch(world.enter())
    assert world.ends == []


async def test_the_same_event_twice_is_one_report(world):
    world.comment(TEXT.format("check", "check"))
    world.comment(TEXT.format("check", "check"))
    assert len(world.kept) == 1


async def test_a_cancelled_build_is_not_answered(world):
    uuid = world.launch(world.enter())
    world.live.cancel(uuid)
    world.comment(TEXT.format("check", "check"))
    assert world.ends == []


@pytest.mark.parametrize(
    ("pipeline", "key"), [("quiet", CHANGE), ("check", PeriodicKey("gerrit", PROJECT))], ids=["no reporter", "timer"]
)
async def test_what_gerrit_never_hears_of_is_not_waited_for(world, pipeline, key):
    world.launch(world.enter(pipeline=pipeline, key=key))
    assert [each.result for each in world.ends] == [NO_ANSWER]


async def when(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  # a timer of the loop's has to fire
            await asyncio.sleep(0)


async def test_a_live_system_that_says_nothing_in_time_is_not_waited_for_any_longer(world):
    place = world.enter()
    world.now += PATIENCE_S
    world.launch(place)
    await when(lambda: world.ends)
    assert world.ends[0].result == NO_ANSWER


async def test_once_the_change_is_merged_the_report_comes_soon_or_never(world, monkeypatch):
    monkeypatch.setattr(live_results, "AFTER_MERGE_S", 0.0)
    world.launch(world.enter())
    world.merge()
    assert (world.kept[0].kind, world.kept[0].submit) == (Kind.MERGED, True)
    await when(lambda: world.ends)
    assert world.ends[0].result == NO_ANSWER


async def test_who_waits_for_a_report_is_told_of_it_or_that_the_change_is_merged(world):
    place = world.enter(pipeline="gate")
    waiting = asyncio.create_task(world.live.report_on(place, CHANGE))
    await asyncio.sleep(0)
    world.comment(TEXT.format("gate", "gate"))
    said = await waiting
    assert said is not None
    assert said.kind is Kind.SUCCEEDED
    other = asyncio.create_task(world.live.report_on(replace(place, item=2), CHANGE))
    await asyncio.sleep(0)
    world.merge(by="somebody")
    assert await other is None


async def test_a_restart_knows_which_reports_have_served_and_which_have_not(world):
    world.comment(TEXT.format("check", "check"))
    world.comment(TEXT.format("gate", "gate"))
    check, gate = world.kept
    ours = replace(check, id="shadow 1", side=Side.SHADOW, answered_by=check.id)
    world.live = world.another()
    world.live.restore([check, gate, ours])
    world.launch(world.enter(1))
    assert world.ends == []
    world.launch(world.enter(2, "gate"))
    assert [each.result for each in world.ends] == ["SUCCESS"]
