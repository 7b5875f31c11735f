"""The stream's lines as events, a large change's answer as a value, and catching up with many missed changes."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.figures import Figure
from ci_gate.config.settings import GerritSettings
from ci_gate.daemon.catching_up import CatchingUp, Surroundings, Wanted
from ci_gate.gerrit.query import details_of
from ci_gate.gerrit.ssh_access import SshAccess
from ci_gate.gerrit.stream import EventStream
from ci_gate.model.event import Event
from ci_gate.sandbox.gerrit import SandboxGerrit
from ci_gate.store.journal import Journal, default_address
from ci_gate.store.marks import Mark, Marks

RUNS = 5
EVENTS = 5000
MISSED = 1000
PROJECT = "bench/project"
SOMEBODY = {"name": "Somebody", "email": "somebody@example.org", "username": "somebody"}


async def measure() -> list[Figure]:
    found = f"{MISSED:,} missed changes found and taken, less the query that each event costs"
    return [
        Figure("event lines of Gerrit read, parsed and handed on", "/s", _intake_rates(), "> 5,000"),
        Figure("answer on 200 files, 50 patch sets, 500 comments → record", "ms", _large_answers_ms(), "< 50"),
        Figure(found, "s", [await _catch_up_s()], "< 30"),
    ]


def _intake_rates() -> list[float]:
    """All of the adapter's work on lines, without the network."""
    rates = []
    lines = [json.dumps(_comment_event(number)) for number in range(EVENTS)]
    for _ in range(RUNS):
        taken: list[Event] = []
        stream = EventStream(GerritSettings("gerrit", "review.example.org", "ci"), taken.append)
        begun = time.perf_counter()
        stream.take_lines(lines)
        rates.append(EVENTS / (time.perf_counter() - begun))
        assert len(taken) == EVENTS
    return rates


def _large_answers_ms() -> list[float]:
    text = json.dumps(_large_row())
    took = []
    for _ in range(RUNS):
        begun = time.perf_counter()
        details_of(json.loads(text), "gerrit")
        took.append((time.perf_counter() - begun) * 1000)
    return took


async def _catch_up_s() -> float:
    with tempfile.TemporaryDirectory(prefix="ci-gate-bench-") as name, SandboxGerrit(Path(name) / "gerrit") as gerrit:
        gerrit.create_account("ci")
        gerrit.create_account("dev", may_push=True)
        gerrit.create_project(PROJECT, {"README": "x\n"})
        since = time.time() - 1
        for number in range(MISSED):
            gerrit.create_change(PROJECT, {f"file-{number}": "x\n"}, "Change something\n", by="dev")
        settings = GerritSettings(
            "gerrit",
            "127.0.0.1",
            "ci",
            port=gerrit.port,
            sshkey=gerrit.key_file("ci"),
            accepted_hosts=Path(name) / "known_hosts",
            reconcile_interval_s=0,
        )
        address = default_address(Path(name))
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
        while len(taken) < MISSED:  # noqa: ASYNC110  # what is measured takes seconds
            await asyncio.sleep(0.01)
        took = time.perf_counter() - begun
        running.cancel()
        await access.close()
        return took


async def _at_once() -> None:
    return


def _comment_event(number: int) -> dict[str, Any]:
    return {
        "type": "comment-added",
        "change": {
            "project": PROJECT,
            "branch": "master",
            "id": f"I{number:040x}",
            "number": number + 1,
            "subject": "Change something",
            "owner": SOMEBODY,
            "url": f"https://review.example.org/c/{PROJECT}/+/{number + 1}",
            "commitMessage": "Change something\n\nWith some words of why.\n",
            "createdOn": 1700000000,
            "status": "NEW",
        },
        "patchSet": {"number": 1, "revision": f"{number:040x}", "ref": f"refs/changes/01/{number + 1}/1"},
        "author": SOMEBODY,
        "approvals": [
            {"type": each, "description": each, "value": "0"} for each in ("Code-Review", "Verified", "Workflow")
        ],
        "comment": "Patch Set 1:\n\nLooks good to me, but somebody else should look as well",
        "project": PROJECT,
        "refName": "refs/heads/master",
        "changeKey": {"id": f"I{number:040x}"},
        "eventCreatedOn": 1700000000 + number,
    }


def _large_row() -> dict[str, Any]:
    files = [{"file": f"src/file-{number}.py", "type": "MODIFIED"} for number in range(200)]
    patch_sets = [
        {"number": number, "revision": f"{number:040x}", "ref": f"refs/changes/01/1/{number}", "files": files}
        for number in range(1, 51)
    ]
    vote = {"type": "Verified", "description": "Verified", "value": "1", "grantedOn": 1700000000, "by": SOMEBODY}
    return {
        "project": PROJECT,
        "branch": "master",
        "id": f"I{1:040x}",
        "number": 1,
        "owner": SOMEBODY,
        "status": "NEW",
        "open": True,
        "commitMessage": "Change something\n" * 50,
        "comments": [
            {"timestamp": 1700000000 + number, "reviewer": SOMEBODY, "message": "Patch Set 1:\n\n" + "words " * 30}
            for number in range(500)
        ],
        "currentPatchSet": patch_sets[-1] | {"approvals": [vote] * 20},
        "patchSets": patch_sets,
    }
