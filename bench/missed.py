"""A service that was away: all that it missed is found, asked about and decided, while live events go on."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.figures import Figure
from ci_gate.config.settings import GerritSettings
from ci_gate.daemon.catching_up import CatchingUp, Surroundings, Wanted
from ci_gate.gerrit.ssh_access import SshAccess
from ci_gate.model.event import Event
from ci_gate.sandbox.world import CI_ACCOUNT, World
from ci_gate.store.journal import Journal, default_address
from ci_gate.store.marks import Mark, Marks

EXAMPLES = Path(__file__).parent.parent / "etc"
PROJECT = "bench/project"
MISSED = 1000
DEADLINE_S = 120.0
# Every patch set is asked about and then refused: what is measured ends with the decision on the event.
LAYOUT = f"""
pipelines:
  - name: approved
    manager: IndependentPipelineManager
    trigger: {{gerrit: [{{event: patchset-created}}]}}
    require: {{approval: [{{Verified: 2}}]}}
  - name: live
    manager: IndependentPipelineManager
    trigger: {{gerrit: [{{event: comment-added, comment_filter: (?i)live}}]}}
    success: {{gerrit: {{Verified: 1}}}}
projects:
  - {{name: {PROJECT}, approved: [noop], live: [noop]}}
"""


async def missed() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="ci-gate-bench-") as name:
        async with World(Path(name), EXAMPLES, layout=LAYOUT) as world:
            world.gerrit.create_project(PROJECT, {"README": "x\n"})
            live = world.gerrit.create_change(PROJECT, {"live": "x\n"}, "Live\n", by="dev").number
            await world.start_service()
            await _when(lambda: _status(world)["ci_gate"]["catch_ups"][0]["at"])
            await world.stop_service()
            since = time.time() - 1
            for number in range(MISSED):
                world.gerrit.create_change(PROJECT, {f"file-{number}": "x\n"}, "Change something\n", by="dev")
            return [await _found_by_a_look(world, since), *await _decided_by_a_service(world, live)]


async def _found_by_a_look(world: World, since: float) -> Figure:
    """Without a service."""
    settings = GerritSettings(
        "gerrit",
        "127.0.0.1",
        CI_ACCOUNT,
        port=world.gerrit.port,
        sshkey=world.gerrit.key_file(CI_ACCOUNT),
        accepted_hosts=world.folder / "known_hosts",
        reconcile_interval_s=0,
    )
    address = default_address(world.folder)
    journal = Journal(address)
    journal.open()
    journal.close()
    taken: list[Event] = []
    access = SshAccess(settings)
    around = Surroundings(
        wanted=lambda: Wanted([PROJECT], [PROJECT]), take=taken.append, backlog=lambda: 0, journaled=_at_once
    )
    catching_up = CatchingUp(settings, access, Marks(address), around)
    catching_up.begin(Mark(since, since))
    running = asyncio.create_task(catching_up.run())
    begun = time.perf_counter()
    catching_up.gap()
    await _when(lambda: len(taken) >= MISSED)
    took = time.perf_counter() - begun
    running.cancel()
    await asyncio.wait([running])  # it still asks where branches stand: only then may the connection go
    await access.close()
    what = f"{MISSED:,} missed changes found and taken, less the query that each event costs"
    return Figure(what, "s", [took], "< 30")


async def _at_once() -> None:
    return


async def _decided_by_a_service(world: World, live: int) -> list[Figure]:
    asked = len(world.gerrit.received)
    begun = time.perf_counter()
    await world.start_service()
    answers = asyncio.create_task(_live_answers_s(world, live))
    await _when(lambda: _has_decided_all(world))
    took = time.perf_counter() - begun
    answers.cancel()
    live_s = await answers
    queries = [each.line for each in world.gerrit.received[asked:] if "gerrit query" in each.line]
    await world.stop_service()
    what = f"{MISSED:,} missed changes found by a service that starts, each asked about and decided"
    return [
        Figure(what, "s", [took], "< 30"),
        Figure("queries that Gerrit was given for that, live events' too", "", [len(queries)], "< 500"),
        Figure("a live comment meanwhile → its report", "s", live_s, "< 5"),
    ]


async def _live_answers_s(world: World, number: int) -> list[float]:
    """One comment after the other, until cancelled: how long each waited for its report."""
    took: list[float] = []
    begun = time.perf_counter()
    try:
        while True:
            begun = time.perf_counter()
            world.gerrit.comment(number, by="dev", message=f"live {len(took)}")
            await _when(lambda: len(_ours(world, number)) > len(took))
            took.append(time.perf_counter() - begun)
    except asyncio.CancelledError:
        return took or [time.perf_counter() - begun]


def _ours(world: World, number: int) -> list[str]:
    return [each.text for each in world.gerrit.messages(number) if each.by.username == CI_ACCOUNT]


def _has_decided_all(world: World) -> bool:
    status = _status(world)
    (state,) = status["ci_gate"]["catch_ups"]
    return bool(state["at"]) and state["found_total"] >= MISSED and not status["trigger_event_queue"]["length"]


def _status(world: World) -> dict[str, Any]:
    with urllib.request.urlopen(f"{world.url}status.json", timeout=10) as answer:  # noqa: S310  # our own
        found: dict[str, Any] = json.load(answer)
    return found


async def _when(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110  # what is measured takes seconds
            await asyncio.sleep(0.02)
