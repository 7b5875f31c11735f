"""One real Gerrit for all tests of this folder; for each test a service of its own, and workers."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from gerrit_people import CI, PROJECTS, Review
from gerrit_server import GerritServer

from ci_gate.sandbox.tcp_proxy import TcpProxy, tcp_proxy
from ci_gate.sandbox.world import World

EXAMPLES = Path(__file__).parent.parent.parent / "etc"
DEADLINE_S = 40.0
JOB = "unit"
POST_JOB = "publish"
LAYOUT = f"""
pipelines:
  - name: check
    manager: IndependentPipelineManager
    trigger:
      gerrit:
        - event: patchset-created
        - event: change-restored
        - event: wip-state-changed
        - event: comment-added
          comment_filter: (?im)^\\s*recheck-VENDOR\\s*$
    reject: {{wip: true}}
    success: {{gerrit: {{Verified: 1}}}}
    failure: {{gerrit: {{Verified: -1}}}}
  - name: gate
    manager: DependentPipelineManager
    trigger: {{gerrit: [{{event: comment-added, approval: [{{Workflow: 1}}]}}]}}
    success: {{gerrit: {{Verified: 2, submit: true}}}}
    failure: {{gerrit: {{Verified: -2}}}}
  - name: post
    manager: IndependentPipelineManager
    trigger: {{gerrit: [{{event: ref-updated, ref: ^refs/heads/.*$}}]}}
projects:
  - {{name: {PROJECTS[0]}, check: [{JOB}], gate: [{JOB}], post: [{POST_JOB}]}}
  - {{name: {PROJECTS[1]}, check: [{JOB}], gate: [{JOB}], post: [{POST_JOB}]}}
"""


@pytest.fixture(scope="session")
def review(tmp_path_factory) -> Iterator[Review]:
    folder = tmp_path_factory.mktemp("real-gerrit")
    with GerritServer(folder / "site") as server:
        review = Review(server, folder)
        review.set_up()
        yield review


class _Address:
    """Where the service finds Gerrit, in the place of the sandbox's own."""

    listeners = 1

    def __init__(self, port: int, key: Path) -> None:
        self.port, self._key = port, key

    def key_file(self, _: str) -> Path:
        return self._key


class Site:
    """The service between a real Gerrit, behind a proxy, and simulated workers."""

    def __init__(self, world: World, review: Review, proxy: TcpProxy) -> None:
        self.world, self.review, self.proxy, self.jenkins = world, review, proxy, world.jenkins

    async def start(self) -> None:
        await self.world.start_service()
        await self.when(self.is_listening, "the stream to be open")
        await self.when(self.has_looked, "the first look at where branches stand")

    def is_listening(self) -> bool:
        streams = [each for each in self.status()["ci_gate"]["connections"] if each["kind"] == "Gerrit stream"]
        return bool(streams) and all(each["state"] == "up" for each in streams)

    def has_looked(self) -> bool:
        """From then on nothing is missed: Gerrit says that a stream is open before it has begun to listen."""
        return all(each["at"] for each in self.status()["ci_gate"]["catch_ups"])

    def status(self) -> dict:
        with urllib.request.urlopen(f"{self.world.url}status.json", timeout=10) as answer:
            return json.load(answer)

    def builds(self, number: int, job: str = JOB) -> list:
        return [
            each
            for each in self.jenkins.builds
            if each.job == job and each.parameters.get("ZUUL_CHANGE") == str(number)
        ]

    async def when(self, condition: Callable[[], object], what: str, within_s: float = DEADLINE_S):
        """Conditions ask the server, so they are called beside the loop, on which the workers run."""
        ends_at = time.monotonic() + within_s
        while not (answer := await asyncio.to_thread(condition)):
            assert time.monotonic() < ends_at, f"{what}: not within {within_s:g} s\n{self.world.end_of_log()}"
            await asyncio.sleep(0.05)
        return answer

    async def vote(self, number: int, value: int) -> None:
        await self.when(lambda: self.review.vote(number) == value, f"a vote of {value:+d} on {number}")

    async def merged(self, *numbers: int) -> None:
        for number in numbers:
            await self.when(lambda: self.review.status(number) == "MERGED", f"{number} to be merged")  # noqa: B023  # awaited here

    async def idle(self) -> None:
        def is_idle() -> bool:
            status = self.status()
            queues = [queue for pipeline in status["pipelines"] for queue in pipeline["change_queues"]]
            return not any(queue["heads"] for queue in queues) and not status["ci_gate"]["undelivered_reports_total"]

        await self.when(is_idle, "everything done")


@pytest.fixture
async def site(review, tmp_path, request) -> AsyncIterator[Site]:
    """``request.param``: more settings of the service."""
    async with tcp_proxy(review.server.ssh) as proxy:
        values = {
            ("gerrit", "user"): CI,
            ("gerrit", "baseurl"): f"http://127.0.0.1:{review.server.http}",
            ("zuul", "replication_retry_interval"): "1",
        } | getattr(request, "param", {})
        world = World(tmp_path, EXAMPLES, vendor="DEMO", layout=LAYOUT, settings=values)
        world.gerrit = _Address(proxy.port, review.key)
        world.write_config()
        site = Site(world, review, proxy)
        world.jenkins.add_job(JOB, "test ! -e broken")
        world.jenkins.add_job(POST_JOB)
        try:
            await site.start()
            await world.jenkins.start()
            await world.jenkins.ready()
            yield site
        finally:
            await world.jenkins.stop()
            await world.stop_service()
