"""Snapshots of every version that there was: a later ci-gate goes on from each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ci_gate.daemon.layouts import digest_of
from ci_gate.daemon.recovery import Standing, recover
from ci_gate.scheduler.effects import LaunchBuild, Merge, SendReport
from ci_gate.scheduler.inputs import TimerFired
from ci_gate.scheduler.snapshots import VERSION
from ci_gate.store.journal import Journal, SnapshotRow, default_address

KEPT = sorted((Path(__file__).parent / "snapshots").glob("version-*.json"))
"""Of a simulated site under load. They are never made again; a new version gets a file of its own."""


def standing_of(path: Path, folder: Path) -> Standing:
    kept = json.loads(path.read_text())
    journal = Journal(default_address(folder))
    journal.open()
    try:
        digest = digest_of(kept["layout"])
        journal.keep_layout(digest, kept["layout"])
        journal.keep_snapshot(SnapshotRow(70, 1.0, digest, json.dumps(kept["body"])))
        standing = recover(journal)
    finally:
        journal.close()
    assert standing is not None
    return standing


def test_there_is_one_of_each_version():
    assert [path.stem for path in KEPT] == [f"version-{number}" for number in range(1, VERSION + 1)]


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_the_service_goes_on_from_it(tmp_path, path):
    standing = standing_of(path, tmp_path)
    scheduler = standing.scheduler
    pipelines = json.loads(path.read_text())["body"]["scheduler"]["pipelines"]
    inside = [item for pipeline in pipelines for queue in pipeline["queues"] for item in queue["items"]]
    shown = [
        item for each in scheduler.view().pipelines for queue in each.queues for head in queue.heads for item in head
    ]
    assert len(shown) >= len(inside) > 5
    to_repeat = list(standing.outstanding)
    assert {LaunchBuild, Merge, SendReport} <= {type(each) for each in to_repeat}
    scheduler.handle(TimerFired(1e9, "none"))
    again = scheduler.snapshot()
    assert again["version"] == VERSION
    assert again["identifiers"]["seed"] == b"sixteen bytes !!".hex()
