"""Layouts for the simulation: every feature that decides who is tested with whom, in several combinations."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from ci_gate.config.layout import load_layout
from ci_gate.model.layout import Layout

TEMPLATE = """
pipelines:
  - name: check
    manager: IndependentPipelineManager
    trigger:
      gerrit:
        - event: [patchset-created, change-restored]
        - {{event: comment-added, comment: '(?m)^recheck$'{scope}}}
    success: {{gerrit: {{Verified: 1}}}}
    failure: {{gerrit: {{Verified: -1}}}}
    {check}
  - name: gate
    manager: DependentPipelineManager
    trigger: {{gerrit: [{{event: comment-added, approval: [{{Workflow: 1}}]}}]}}
    start: {{gerrit: {{Verified: 0}}}}
    success: {{gerrit: {{Verified: 2, submit: true}}}}
    failure: {{gerrit: {{Verified: -2}}}}
    {gate}
  - name: post
    manager: {post}
    trigger: {{gerrit: [{{event: ref-updated}}]}}
  - name: nightly
    manager: IndependentPipelineManager
    trigger: {{timer: [{{time: 0 2 * * *}}]}}
  - name: again
    manager: IndependentPipelineManager
    trigger:
      zuul:
        - {{event: parent-change-enqueued, pipeline: ^gate$}}
        - event: project-change-merged
    merge-failure: {{gerrit: {{Verified: -1}}}}
jobs:
  - {{name: perf, voting: false}}
  - {{name: first, hold-following-changes: true}}
  - {{name: docs, files: ^doc/}}
  - {{name: stable-only, branch: ^stable$}}
  - {{name: soak, mutex: rack}}
  - {{name: flash, mutex: rack, attempts: 1}}
projects:
{projects}
"""
JOBS = (
    "unit",
    "integ",
    "perf",
    "first",
    "docs",
    "stable-only",
    "soak",
    "flash",
    "{unit: [integ, perf]}",
    "{docs: [unit]}",
)
CHECK = (
    "",
    "ignore-dependencies: true",
    "dequeue-on-new-patchset: false",
    "disable-after-consecutive-failures: 3",
    "{require: {open: true, current-patchset: true}}",
)
GATE = (
    "",
    "window: 0",
    "{window: 2, window-floor: 1}",
    "{window: 3, window-floor: 2, window-increase-type: exponential, window-increase-factor: 2}",
    "{require: {open: true, current-patchset: true}}",
)
CHECK_OF_OURS = (*CHECK, "{priority: [{owner: joe, value: -1}, {comment: recheck, value: 1}], limit: 1}")
GATE_OF_OURS = (*GATE, "{priority: [{owner: ann, value: 1}]}")


def random_layouts(seed: int, *, with_ours: bool = True) -> list[Layout]:
    """One to three layouts that reloads go back and forth between. ``with_ours``: with what is beyond Zuul 2."""
    chance = random.Random(seed)
    return [_layout(chance, with_ours=with_ours) for _ in range(chance.choice([1, 2, 3]))]


def _layout(chance: random.Random, *, with_ours: bool) -> Layout:
    projects = []
    for name in ("one", "pair", "alone", "plain", "idle"):
        if chance.random() < 0.1:
            continue
        gate = {"plain": ["noop"], "idle": []}.get(name) or chance.sample(JOBS, chance.choice([1, 1, 2, 3]))
        if name in ("one", "pair"):
            gate = ["shared", *gate] if chance.random() < 0.7 else ["first", *gate]
        trees = {"check": chance.sample(JOBS, chance.choice([0, 1, 2])), "gate": gate}
        if chance.random() < 0.5:
            trees["post"] = ["unit"]
        if chance.random() < 0.3:
            trees["nightly"] = ["unit"]
        if chance.random() < 0.3:
            trees["again"] = chance.choice([["noop"], ["perf"]])
        if name == "idle":
            trees["gate"] = []
        shown = ", ".join(f"{pipeline}: [{', '.join(jobs)}]" for pipeline, jobs in trees.items())
        projects.append(f"  - {{name: {name}, {shown}}}")
    text = TEMPLATE.format(
        check=_keys(chance.choice(CHECK_OF_OURS if with_ours else CHECK)),
        gate=_keys(chance.choice(GATE_OF_OURS if with_ours else GATE)),
        scope=", scope: failed" if with_ours and chance.random() < 0.5 else "",
        post="SupercedentPipelineManager" if with_ours and chance.random() < 0.5 else "IndependentPipelineManager",
        projects="\n".join(projects) or "  []",
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "layout.yaml"
        path.write_text(text, encoding="utf-8")
        return load_layout(path, connections={"gerrit": "gerrit"}).layout


def _keys(flow: str) -> str:
    """Keys in braces become lines of the pipeline."""
    if not flow.startswith("{"):
        return flow
    depth, parts, part = 0, [], ""
    for each in flow[1:-1]:
        depth += (each in "{[") - (each in "}]")
        if each == "," and not depth:
            parts.append(part)
            part = ""
        else:
            part += each
    return "\n    ".join(each.strip() for each in [*parts, part])
