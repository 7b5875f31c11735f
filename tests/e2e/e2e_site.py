"""``ci-gate serve`` as a process, between a simulated Gerrit and a simulated Jenkins, on the example configuration."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from ci_gate.sandbox.world import CI_ACCOUNT, World

T = TypeVar("T")

EXAMPLES = Path(__file__).parent.parent.parent / "etc"
PROJECT = "example/project"
JOB = "gate-example-project-unit"
DEADLINE_S = 20.0


async def when(condition: Callable[[], T], what: str, within_s: float = DEADLINE_S) -> T:
    """Wait until a condition answers something true, and return it."""
    ends_at = time.monotonic() + within_s
    while not (answer := condition()):
        assert time.monotonic() < ends_at, f"{what}: not within {within_s:g} s"
        await asyncio.sleep(0.01)
    return answer


class Site:
    """A world with one project and one job, and the questions that tests ask of it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.gerrit = world.gerrit
        self.jenkins = world.jenkins

    async def start(self, script: str = "true") -> None:
        self.gerrit.create_project(PROJECT, {"README": "one\ntwo\nthree\n"})
        await self.world.start_service()
        self.jenkins.add_job(JOB, script)
        await self.jenkins.start()
        await self.jenkins.ready()

    def upload(self, files: dict[str, str] | None = None, **options):
        return self.gerrit.create_change(PROJECT, files or {"file": "x\n"}, "Change something\n", by="dev", **options)

    def vote_of(self, number: int) -> int | None:
        return self.gerrit.votes(number, "Verified").get(CI_ACCOUNT)

    async def vote(self, number: int, value: int) -> None:
        await when(lambda: self.vote_of(number) == value, f"a vote of {value:+d} on change {number}")

    def ours(self, number: int) -> list[str]:
        """The texts that the service has posted, without Gerrit's own first line."""
        messages = [each for each in self.gerrit.messages(number) if each.by.username == CI_ACCOUNT]
        return [each.text.split("\n\n", 1)[-1] for each in messages]

    async def reports(self, number: int, count: int) -> list[str]:
        await when(lambda: len(self.ours(number)) >= count, f"{count} reports on change {number}")
        return self.ours(number)

    def status(self) -> dict:
        return self.read_json(f"{self.world.url}status.json")

    @staticmethod
    def read_json(url: str) -> dict:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)

    async def nothing_left(self) -> None:
        """Wait until no pipeline has an item, and every report was delivered."""

        def idle() -> bool:
            status = self.status()
            queues = [queue for pipeline in status["pipelines"] for queue in pipeline["change_queues"]]
            return not any(queue["heads"] for queue in queues) and not status["ci_gate"]["undelivered_reports_total"]

        await when(idle, "everything done")

    def builds(self, number: int) -> list:
        return [each for each in self.jenkins.builds if each.parameters.get("ZUUL_CHANGE") == str(number)]


SHORT_HOLD = {("gerrit", "event_delay"): "1"}
"""People here change their minds at once, so that their first event never shows in Gerrit's answers: it is not waited
for as long as it would be."""


@pytest.fixture
async def site(tmp_path) -> AsyncIterator[Site]:
    """The service runs, and has heard of nothing yet."""
    async with World(tmp_path, EXAMPLES, settings=SHORT_HOLD) as world:
        site = Site(world)
        await site.start()
        yield site


@pytest.fixture
async def idle_site(tmp_path) -> AsyncIterator[Site]:
    """Gerrit runs; neither service nor Jenkins do."""
    async with World(tmp_path, EXAMPLES) as world:
        yield Site(world)
