"""A bundle: part of a record in one file, in other words, for a bug report.

One JSON object a line, as ``docs/commands.md`` describes them; compressed with gzip if the file's name ends in ``.gz``.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ci_gate.daemon.layouts import decode_layout
from ci_gate.daemon.recovery import Recording
from ci_gate.model.layout import Layout
from ci_gate.replay.verdicts import Tables, told_layout
from ci_gate.store.journal import Entry, SnapshotRow

VERSION = 1
LARGEST_LINE = 512 * 1024 * 1024  # bytes of one line when it is unpacked: a bundle comes from strangers

Verdict = tuple[str, str | None]
"""What was decided in a step originally: a code, and the pipeline."""


class BadBundleError(Exception):
    """The file is no bundle that this version reads. The text is for whoever asked."""


@dataclass(slots=True)
class Bundle:
    """A source for replays. ``verdicts`` are by step; ``facts`` is what its first line tells."""

    facts: dict[str, Any] = field(default_factory=dict)
    layouts: dict[str, str] = field(default_factory=dict)
    tables: Tables = field(default_factory=dict)
    rows: dict[int, SnapshotRow] = field(default_factory=dict)
    steps: dict[int, Entry] = field(default_factory=dict)
    verdicts: dict[int, list[Verdict]] = field(default_factory=dict)

    def snapshots(self) -> list[int]:
        return sorted(self.rows)

    def snapshot(self, seq: int) -> SnapshotRow | None:
        return self.rows.get(seq)

    def entries(self, after: int) -> Iterator[Entry]:
        for seq in sorted(each for each in self.steps if each > after):
            yield self.steps[seq]

    def layout(self, digest: str) -> str | None:
        return self.layouts.get(digest)

    def first_seq_at(self, since: float) -> int | None:
        return min((seq for seq, each in self.steps.items() if each.at >= since), default=None)

    def last_seq(self) -> int:
        return max([*self.steps, *self.rows], default=0)

    def read_layout(self, source: Recording, digest: str) -> Layout:
        """Its expressions find what they found originally. Raises LookupError, UnreadableLayoutError."""
        text = source.layout(digest)
        if text is None:
            raise LookupError(f"the layout {digest} is not there")
        return told_layout(decode_layout(text), self.tables)

    def remember(self, seq: int, memory: dict[str, Any]) -> None:
        """The scheduler's memory after a step, in place of the one that was there."""
        body = {**json.loads(self.rows[seq].body), "scheduler": memory}
        self.rows[seq] = replace(self.rows[seq], body=json.dumps(body))


def write_bundle(bundle: Bundle, path: Path) -> None:
    """Raises OSError."""
    with _opened(path, "wt") as file:
        for each in _lines(bundle):
            file.write(json.dumps(each) + "\n")


def _lines(bundle: Bundle) -> Iterator[dict[str, Any]]:
    yield {"ci_gate_bundle": VERSION, **bundle.facts}
    for digest, text in bundle.layouts.items():
        yield {"layout": digest, "body": json.loads(text)}
    yield {"expressions": bundle.tables}
    for row in bundle.rows.values():
        yield {"snapshot": row.seq, "at": row.at, "in_force": row.layout, "body": json.loads(row.body)}
    for each in bundle.steps.values():
        yield {
            "step": each.seq,
            "at": each.at,
            "kind": each.kind,
            "input": json.loads(each.input),
            "answers": json.loads(each.answers),
            "effects": json.loads(each.effects),
            "verdicts": bundle.verdicts.get(each.seq, []),
        }


def read_bundle(path: Path) -> Bundle:
    """Raises BadBundleError, OSError."""
    bundle = Bundle()
    try:
        with _opened(path, "rt") as file:
            while line := file.readline(LARGEST_LINE):
                _take(bundle, json.loads(line))
    except (ValueError, LookupError, TypeError, AttributeError, EOFError, gzip.BadGzipFile) as problem:
        raise BadBundleError(f"{path} is no bundle of ci-gate's: {type(problem).__name__}: {problem}") from problem
    if not bundle.facts:
        raise BadBundleError(f"{path} is empty")
    return bundle


def _take(bundle: Bundle, line: dict[str, Any]) -> None:
    if not bundle.facts:
        if line["ci_gate_bundle"] != VERSION:
            raise ValueError(f"it has version {line['ci_gate_bundle']}, and this ci-gate reads version {VERSION}")
        bundle.facts = line
    elif "layout" in line:
        bundle.layouts[line["layout"]] = json.dumps(line["body"])
    elif "expressions" in line:
        bundle.tables = line["expressions"]
    elif "snapshot" in line:
        row = SnapshotRow(line["snapshot"], line["at"], line["in_force"], json.dumps(line["body"]))
        bundle.rows[row.seq] = row
    else:
        parts = (json.dumps(line[name]) for name in ("input", "answers", "effects"))
        bundle.steps[line["step"]] = Entry(line["step"], line["at"], line["kind"], *parts)
        bundle.verdicts[line["step"]] = [(code, pipeline) for code, pipeline in line["verdicts"]]


def _opened(path: Path, mode: str) -> Any:
    opener: Any = gzip.open if path.name.endswith(".gz") else open
    return opener(path, mode, encoding="utf-8")
