"""What the tests of the Gerrit adapter share: a simulated Gerrit, its samples, and connection settings."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path

from ci_gate.config.settings import GerritSettings
from ci_gate.sandbox.gerrit import SandboxGerrit

SAMPLES = Path(__file__).parent / "samples"
VERSIONS = ("3.10.0", "3.13.0")
PROJECT = "demo/app"
DEADLINE_S = 10.0


def settings_for(gerrit: SandboxGerrit, **options) -> GerritSettings:
    known = {
        "name": "gerrit",
        "server": "127.0.0.1",
        "port": gerrit.port,
        "user": "ci",
        "sshkey": gerrit.key_file("ci"),
        "accepted_hosts": gerrit.folder / "accepted",
        "known_hosts": gerrit.folder / "known",
        "baseurl": "https://review.example.org",
    }
    return GerritSettings(**(known | options))


def recorded_events(version: str) -> list[dict]:
    lines = (SAMPLES / f"events-{version}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def recorded_commands(version: str) -> dict[str, dict]:
    return json.loads((SAMPLES / f"commands-{version}.json").read_text(encoding="utf-8"))


def recorded_rest(version: str) -> dict[str, dict]:
    return json.loads((SAMPLES / f"rest-{version}.json").read_text(encoding="utf-8"))


async def when(condition: Callable[[], object], what: str):
    ends_at = time.monotonic() + DEADLINE_S
    while not (answer := condition()):
        assert time.monotonic() < ends_at, f"{what}: not within {DEADLINE_S:g} s"
        await asyncio.sleep(0.005)
    return answer
