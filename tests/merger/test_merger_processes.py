"""``ci-gate merger`` as processes on Debian's job server: many at once, and one of them killed under load."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from gearmand_server import Gearmand, gearmand_is_there
from merger_world import git, out, request

from ci_gate.daemon.remote_mergers import JobsOverGearman
from ci_gate.gearman.job_runner import JobRunner
from ci_gate.job_servers import Address
from ci_gate.merger.remote import RemoteMerger
from ci_gate.model.build import Precedence
from ci_gate.model.merge import MergeOutcome

HOST = "127.0.0.1"
START_S = 20.0

pytestmark = gearmand_is_there


class MergerHost:
    """A merger process with a folder of its own, which is also its address."""

    def __init__(self, root: Path, name: str, port: int) -> None:
        root.mkdir(exist_ok=True)
        self.git_dir = root / name / "git"
        self.url = f"file://{self.git_dir}"
        self.log = root / f"{name}.log"
        self.process: asyncio.subprocess.Process | None = None
        self._config = root / f"{name}.conf"
        self._config.write_text(
            f"[gearman]\nserver={HOST}\nport={port}\n"
            f"[zuul]\nstate_dir={root / name}\n"
            f"[merger]\nzuul_url={self.url}\ngit_dir={self.git_dir}\n"
        )

    async def start(self) -> None:
        command = [sys.executable, "-m", "ci_gate", "merger", "--config", str(self._config)]
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(*command, stderr=log)
        async with asyncio.timeout(START_S):
            while self.log.read_text().count("functions are offered") == 0:  # noqa: ASYNC110  # a process writes it
                await asyncio.sleep(0.02)

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        async with asyncio.timeout(START_S):
            return await self.process.wait()


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async with Gearmand() as server:
        yield server.port


@asynccontextmanager
async def hosts(root: Path, port: int, *names: str):
    made = [MergerHost(root, name, port) for name in names]
    try:
        await asyncio.gather(*(each.start() for each in made))
        yield made
    finally:
        for each in made:
            await each.end()


@pytest.fixture
async def runner(port):
    made = JobRunner([Address(HOST, port)], reconnect_s=0.1)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
def merger(world, runner):
    return RemoteMerger(JobsOverGearman(runner), world.root / "merges", world.url)


async def test_two_mergers_share_the_work_and_each_answers_with_its_own_address(world, port, merger, tmp_path):
    upstream = world.project("p1")
    changes = [upstream.change({f"f{number}": "x\n"}) for number in range(16)]
    async with hosts(tmp_path, port, "one", "two") as both:
        asked = [request(change, f"Z{change.number}") for change in changes]
        answers = await asyncio.gather(*(merger.merge(each) for each in asked))
        assert {each.outcome for each in answers} == {MergeOutcome.MERGED}
        assert {each.url for each in answers} == {each.url for each in both}
        for answer in answers:
            fetched = git(tmp_path, "ls-remote", f"{answer.url}/p1", f"refs/zuul/master/{answer.ref}").stdout
            assert fetched.startswith(str(answer.commit))


async def test_no_merge_is_lost_when_a_merger_is_killed_under_load(world, port, merger, tmp_path):
    projects = [world.project(f"p{number}") for number in range(4)]
    chains = [[project.change({f"f{number}": "x\n"}) for number in range(8)] for project in projects]

    async def merge_chain(chain):
        answers, ahead = [], None
        for depth, change in enumerate(chain, 1):
            asked = request(change, f"Z{change.project}{change.number}", ahead, depth=depth)
            answer = await merger.merge(asked)
            if answer.outcome is MergeOutcome.INTERNAL:  # then the scheduler asks again
                answer = await merger.merge(asked)
            answers.append(answer)
            ahead = asked.ref
            done.append(answer)
        return answers

    done: list = []
    async with hosts(tmp_path, port, "one", "two") as (first, second):
        under_way = [asyncio.create_task(merge_chain(chain)) for chain in chains]
        async with asyncio.timeout(START_S):
            while len(done) < 6:  # noqa: ASYNC110  # the middle of the work is no event
                await asyncio.sleep(0.005)
        await first.end(signal.SIGKILL)
        assert len(done) < 32, "it was killed while there was work"
        async with asyncio.timeout(60):
            everything = await asyncio.gather(*under_way)
        for chain, answers in zip(chains, everything, strict=True):
            assert {each.outcome for each in answers} == {MergeOutcome.MERGED}, answers
            names = out(second.git_dir / chain[0].project / ".git", "ls-tree", "--name-only", answers[-1].commit)
            assert {f"f{number}" for number in range(8)} <= set(names.split())


async def test_a_merger_that_is_started_again_goes_on_where_it_was_killed(world, port, merger, tmp_path):
    upstream = world.project("p1")
    first, second = upstream.change({"a": "x\n"}), upstream.change({"b": "x\n"})
    async with hosts(tmp_path, port, "one") as (host,):
        before = await merger.merge(request(first, "Z1"))
        await host.end(signal.SIGKILL)
        waiting = asyncio.create_task(merger.merge(request(second, "Z2", "Z1", depth=2)))
        host.log.unlink()
        await host.start()
        after = await waiting
        assert out(host.git_dir / "p1" / ".git", "rev-parse", f"{after.commit}^1") == before.commit


async def test_it_ends_cleanly_and_quickly_when_told_to(port, tmp_path):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        async with hosts(tmp_path / number.name, port, "one") as (host,):
            async with asyncio.timeout(5):
                assert await host.end(number) == 0
            assert "Traceback" not in host.log.read_text()


async def test_two_mergers_do_not_work_in_one_folder(port, tmp_path):
    async with hosts(tmp_path, port, "one") as (host,):
        command = [sys.executable, "-m", "ci_gate", "merger", "--config", str(tmp_path / "one.conf")]
        second = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
        _, said = await second.communicate()
        assert second.returncode == 1
        assert f"another merger, process {host.process.pid}, works in git_dir" in said.decode()


async def test_all_mergers_are_told_what_is_inside(world, port, merger, runner, tmp_path):
    async with hosts(tmp_path, port, "one", "two") as both:
        await merger.retain(["Z1"])
        for each in both:
            assert await runner.run(f"merger:retain:{each.url}", b'{"inside": []}', Precedence.LOW) == b"{}"
