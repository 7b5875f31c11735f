"""A real layout of 1,638 projects, where it lies beside the project: reading it, and deciding with it."""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.figures import Figure
from ci_gate.config.layout import load_layout
from ci_gate.config.settings import GerritSettings
from ci_gate.gerrit.events import event_of, parse_line
from ci_gate.model.options import SchedulerSettings
from ci_gate.questions.events import Asker, subject_of

SHARED = Path(__file__).parent.parent.parent / "shared"
LAYOUT = SHARED / "data" / "openstack-layout.yaml"
CASES = SHARED / "layout-matrix" / "cases-openstack.json"
FUNCTIONS = "openstack_functions.py"
PROJECT = "openstack/nova"
PLAIN = 9  # comments that nothing accepts, for each other event
RUNS = 5


async def measure() -> list[Figure]:
    if not LAYOUT.exists():
        print("no real layout here: skipped", file=sys.stderr)
        return []
    with _layout() as path:
        return [*_validate(path), *_events(path)]


@contextmanager
def _layout() -> Iterator[Path]:
    """The layout with stand-ins for its functions."""
    with tempfile.TemporaryDirectory() as folder:
        text = LAYOUT.read_text(encoding="utf-8")
        path = Path(folder) / "layout.yaml"
        path.write_text(text, encoding="utf-8")
        (path.parent / FUNCTIONS).write_text(stand_ins(text))
        yield path


def stand_ins(text: str) -> str:
    """Functions of the names that a layout asks for, which do nothing."""
    names = sorted(set(re.findall(r"parameter-function: (\S+)", text)))
    return "".join(f"def {name}(item, job, params): pass\n" for name in names)


def _validate(path: Path) -> list[Figure]:
    command = [str(Path(sys.executable).with_name("ci-gate")), "validate", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    took = []
    for _ in range(RUNS):
        begun = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        took.append(time.perf_counter() - begun)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return [
        Figure("`ci-gate validate` of a layout with 1,638 projects", "s", took, "< 0.5"),
        Figure("the same, largest resident size", "MB", [peak], "< 120"),
    ]


def _events(path: Path) -> list[Figure]:
    loaded = load_layout(path, connections={"gerrit": "gerrit", "smtp": "smtp"})
    cases = json.loads(CASES.read_text().replace("@PROJECT@", PROJECT))["events"]
    changes = [each for each in cases if each.get("change")]
    plain = next(each for each in changes if each["id"] == "comment/00")
    comment = {**plain["event"], "comment": "Patch Set 2:\n\nI would rather do this the other way round."}
    mixed = [each for case in changes for each in (case, *({**plain, "event": comment},) * PLAIN)]
    accepted = [each for each in changes if _accepted(loaded.layout, each)]
    return [
        Figure("events decided a second, 90 % plain comments", "/s", _rates(loaded.layout, mixed), "> 10,000"),
        Figure("events decided a second, all accepted somewhere", "/s", _rates(loaded.layout, accepted), "> 5,000"),
    ]


GERRIT = GerritSettings("gerrit", "localhost", "ci")


def _accepted(layout, case) -> bool:
    event = event_of(case["event"], GERRIT)
    subject = subject_of(event, case["change"]) if event else None
    return bool(subject) and any(
        each.accepted for each in Asker(layout, SchedulerSettings(), 0.0).answers(event, subject)
    )


def _rates(layout, cases) -> list[float]:
    """From the line of the stream to the jobs; the change's record is known, as after a query."""
    asked = [(json.dumps(case["event"]), case["change"]) for case in cases if event_of(case["event"], GERRIT)]
    subjects = [subject_of(event_of(json.loads(line), GERRIT), record) for line, record in asked]
    asker = Asker(layout, SchedulerSettings(), 0.0)
    rates = []
    for _ in range(RUNS):
        begun = time.perf_counter()
        for (line, _record), subject in zip(asked, subjects, strict=True):
            event = event_of(parse_line(line), GERRIT)
            if event and subject:
                asker.answers(event, subject)
        rates.append(len(asked) / (time.perf_counter() - begun))
    return rates
