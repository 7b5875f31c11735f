"""From a comment to its build request, from a build's end to its review, and what the service costs when idle."""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bench.figures import Figure
from ci_gate.sandbox.world import World

EXAMPLES = Path(__file__).parent.parent / "etc"
PROJECT = "example/project"
JOB = "gate-example-project-unit"
RUNS = 5
IDLE_S = 5.0
LOGGING = """[loggers]
keys=root,repo
[handlers]
keys=console
[formatters]
keys=plain
[logger_root]
level=INFO
handlers=console
[logger_repo]
level=DEBUG
handlers=
qualname=zuul.Repo
[handler_console]
class=StreamHandler
formatter=plain
args=(sys.stderr,)
[formatter_plain]
format=%(name)s: %(message)s
"""
FETCHED = re.compile(r"zuul\.Repo: fetched .*took_s=([0-9.]+)")


async def measure() -> list[Figure]:
    with_fetch, without_fetch, to_review = [], [], []
    async with _world() as world:
        change = world.gerrit.create_change(PROJECT, {"file": "x\n"}, "Change something\n", by="dev")
        await _report(world, 1)
        for run in range(RUNS):
            fetches = len(_fetches(world))
            begun = time.monotonic()
            world.gerrit.comment(change.number, by="dev", message="recheck")
            await world.jenkins.when(lambda run=run: len(world.jenkins.builds) == run + 2)
            took = time.monotonic() - begun
            build = world.jenkins.builds[-1]
            await world.jenkins.when(lambda build=build: not build.running)
            ended = time.monotonic()
            await _report(world, run + 2)
            with_fetch.append(took * 1000)
            without_fetch.append((took - sum(_fetches(world)[fetches:])) * 1000)
            to_review.append((_reviews(world)[-1] - ended) * 1000)
    return [
        Figure("comment on the stream → build at the worker, with the git fetch", "ms", with_fetch, "< 250"),
        Figure("the same, less the git fetch", "ms", without_fetch, "< 50"),
        Figure("build complete → review command at Gerrit", "ms", to_review, "< 20"),
    ]


async def measure_idle() -> list[Figure]:
    memory, share = [], []
    async with _world() as world:
        world.gerrit.create_change(PROJECT, {"file": "x\n"}, "Change something\n", by="dev")
        await _report(world, 1)
        for _ in range(RUNS):
            used = _cpu_s(world.pid)
            await asyncio.sleep(IDLE_S)
            share.append((_cpu_s(world.pid) - used) / IDLE_S * 100)
            memory.append(_resident_mb(world.pid))
    return [
        Figure("the daemon after its first job, resident", "MB", memory, "< 80"),
        Figure(f"the daemon idle, over {IDLE_S:g} s", "% of a core", share, "< 1"),
    ]


@asynccontextmanager
async def _world() -> AsyncIterator[World]:
    with tempfile.TemporaryDirectory(prefix="ci-gate-bench-") as folder:
        logging = Path(folder) / "logging.conf"
        logging.write_text(LOGGING)
        async with World(Path(folder), EXAMPLES) as world:
            text = world.config.read_text().replace("[zuul]\n", f"[zuul]\nlog_config={logging}\n", 1)
            world.config.write_text(text)
            world.gerrit.create_project(PROJECT, {"README": "x\n"})
            await world.start_service()
            world.jenkins.add_job(JOB)
            await world.jenkins.start()
            await world.jenkins.ready()
            yield world


async def _report(world: World, count: int) -> None:
    async with asyncio.timeout(20):
        while len(_reviews(world)) < count:  # noqa: ASYNC110  # the sandbox tells threads, not loops
            await asyncio.sleep(0.002)


def _reviews(world: World) -> list[float]:
    return [each.at for each in world.gerrit.received if each.line.startswith("gerrit review")]


def _fetches(world: World) -> list[float]:
    return [float(each) for each in FETCHED.findall(world.log.read_text())]


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident_mb(pid: int) -> float:
    (line,) = [each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if each.startswith("VmRSS")]
    return int(line.split()[1]) / 1024
