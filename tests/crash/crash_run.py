"""``make crash RUNS=…``: the service is killed again and again under load, and nothing may come of it.

A run is a site, stories from a seed, and ``KILLS`` ends of the service by SIGKILL: some at any instant, some exactly
before or behind a commit or an effect. ``python tests/crash/crash_run.py RUNS [SEED]``
"""

from __future__ import annotations

import asyncio
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from crash_checks import check
from crash_site import CrashSite, JobServer, when
from crash_stories import Stories
from gearmand_server import GEARMAND

KILLS = 5
STORIES = 8
LONGEST_LIFE_S = 2.5
START_S = 20.0
PATIENCE_S = 4.0  # of a service that serves, with a fail-point that may never be met
EFFECTS = (
    "QueryChange",
    "Merge",
    "LaunchBuild",
    "SendReport",
    "VerifySubmit",
    "RecordRunTime",
    "UpdateRepository",
    "SetTimer",
)
FAILPOINTS = (
    *("journal.before-commit", "journal.after-commit", "release.before", "release.after") * 2,
    *("snapshot.before-commit", "snapshot.after-commit", "mark.before-commit", "mark.after-commit"),
    *("migration.before-commit", "migration.after-commit", "waiting-events.taken", "build.ended"),
    *(f"effect.{when}.{effect}" for effect in EFFECTS for when in ("before", "begun")),
    *(f"effect.done.{effect}" for effect in EFFECTS if effect not in {"LaunchBuild", "SetTimer"}),
    *(f"effect.{when}.{effect}" for effect in ("CancelBuild", "DescribeBuilds") for when in ("before", "begun")),
    *("effect.done.SendReport", "effect.done.VerifySubmit"),
)
WHILE_STOPPING = ("waiting-events.written", "waiting-events.kept") * 2
FAILPOINTS += WHILE_STOPPING
HIGHEST_COUNT = {"journal": 8, "release": 8}


def job_server_of(chance: float) -> JobServer:
    """Gearmand only where it is installed."""
    if chance < 0.2 and GEARMAND is not None:
        return JobServer.GEARMAND
    return JobServer.APART if chance < 0.4 else JobServer.INSIDE


async def run(seed: int, folder: Path) -> Counter[str]:
    """How often the service was killed in which way. Raises AssertionError, WorldError."""
    chance = random.Random(seed)
    job_server = job_server_of(chance.random())
    ends = Counter[str]()
    async with CrashSite(folder, job_server) as site:
        stories = Stories(site, chance)
        tasks = stories.begin(STORIES)
        await asyncio.sleep(chance.uniform(0.0, 1.5))
        await site.world.stop_service(signal.SIGKILL)
        ends["any instant"] += 1
        for life in range(KILLS - 1):
            await asyncio.sleep(chance.choice([0.0, 0.0, 0.5]))
            ends[await _live_and_die(site, chance, seed * (KILLS - 1) + life)] += 1
        await site.world.start_service()
        await asyncio.gather(*tasks)
        await when(lambda: _is_idle(site), "everything done")
        check(site, stories.expected)
    return ends


async def _live_and_die(site: CrashSite, chance: random.Random, turn: int) -> str:
    """One life of the service; the way in which it ended. Fail-points take turns, so that each has its own."""
    if turn % 2:
        await site.spawn()
        await asyncio.sleep(chance.uniform(0.0, LONGEST_LIFE_S))
        await site.world.stop_service(signal.SIGKILL)
        return "any instant"
    name = FAILPOINTS[turn // 2 % len(FAILPOINTS)]
    if name in WHILE_STOPPING:
        return await _stop_and_die(site, chance, name)
    count = chance.randint(1, HIGHEST_COUNT.get(name.split(".")[0], 2))
    await site.spawn(f"{name}:{count}")
    try:
        async with asyncio.timeout(START_S):
            while not site.is_serving() and site.world.runs:  # noqa: ASYNC110  # another process, which tells nobody
                await asyncio.sleep(0.1)
        async with asyncio.timeout(PATIENCE_S):
            status = await site.world.ended()
    except TimeoutError:
        await site.world.stop_service(signal.SIGKILL)
        return "any instant, with a fail-point that was not met"
    assert status == -signal.SIGKILL, f"{name}:{count}: the service ended by itself:\n{site.world.end_of_log()}"
    return name


async def _stop_and_die(site: CrashSite, chance: random.Random, name: str) -> str:
    """A stop that takes no new events, which are kept as it ends; or as it is told to end at once."""
    await site.spawn(name)
    await asyncio.sleep(chance.uniform(1.5, LONGEST_LIFE_S))
    if not site.is_serving():
        await site.world.stop_service(signal.SIGKILL)
        return "any instant"
    site.world.send_signal(signal.SIGUSR1)
    try:
        async with asyncio.timeout(chance.uniform(0.2, 2.0)):
            status = await site.world.ended()
    except TimeoutError:
        status = await site.world.stop_service(signal.SIGTERM)
    assert status in {0, -signal.SIGKILL}, f"{name}: exit status {status}:\n{site.world.end_of_log()}"
    return name if status else "stopped, with no event to keep"


def _is_idle(site: CrashSite) -> bool:
    status = site.status()
    queues = [queue for pipeline in status["pipelines"] for queue in pipeline["change_queues"]]
    return not any(queue["heads"] for queue in queues) and not status["ci_gate"]["undelivered_reports_total"]


def main() -> int:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    first = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(10**6)
    ends, failed, began = Counter[str](), [], time.monotonic()
    for seed in range(first, first + runs):
        folder = Path(tempfile.mkdtemp(prefix="crash-"))
        try:
            ends += asyncio.run(run(seed, folder))
        except Exception as problem:
            failed.append(seed)
            print(f"seed {seed} fails: {type(problem).__name__}: {problem}\nits site is kept in {folder}")
            print(f"once more: make crash RUNS=1 SEED={seed}", flush=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)
            print(f"seed {seed} holds ({time.monotonic() - began:.0f} s)", flush=True)
    print(f"{runs} runs from seed {first}, {len(failed)} failed, {ends.total()} kills: {dict(ends.most_common())}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
