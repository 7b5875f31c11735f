"""The stream's lines as events, a large change's answer as a value; what was missed is in missed.py."""

from __future__ import annotations

import json
import time
from typing import Any

from bench.figures import Figure
from bench.missed import missed
from ci_gate.config.settings import GerritSettings
from ci_gate.gerrit.query import details_of
from ci_gate.gerrit.stream import EventStream
from ci_gate.model.event import Event

RUNS = 5
EVENTS = 5000
PROJECT = "bench/project"
SOMEBODY = {"name": "Somebody", "email": "somebody@example.org", "username": "somebody"}


async def measure() -> list[Figure]:
    return [
        Figure("event lines of Gerrit read, parsed and handed on", "/s", _intake_rates(), "> 5,000"),
        Figure("answer on 200 files, 50 patch sets, 500 comments → record", "ms", _large_answers_ms(), "< 50"),
        *await missed(),
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
