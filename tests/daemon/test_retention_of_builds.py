"""Builds stay for ``[database] history_days``: at each start, and with each snapshot, older ones are forgotten."""

from __future__ import annotations

import time

import pytest

from ci_gate.config.read_settings import read_settings
from ci_gate.daemon.beginning import address_of, begin
from ci_gate.daemon.history import DAY_S
from ci_gate.daemon.leadership import Lead
from ci_gate.daemon.loading import load_for_service
from ci_gate.daemon.snapshotting import make_snapshot
from ci_gate.daemon.standing_by import Turn
from ci_gate.model.history import PastBuild, PastBuildSet
from ci_gate.store.journal import Journal
from ci_gate.store.reading import reading_engine
from ci_gate.store.searching import Wanted, find_builds

DAYS = 30


def ended(name: str, days_ago: float) -> PastBuildSet:
    at = time.time() - days_ago * DAY_S
    build = PastBuild(name, f"uuid-{name}", "SUCCESS", voting=True, ended_at=at)
    return PastBuildSet(f"item-{name}", f"Z-{name}", at, at - 60.0, "check", "org/app", "SUCCESS", builds=(build,))


@pytest.fixture
def settings(tmp_path):
    (tmp_path / "layout.yaml").write_text("pipelines: []\nprojects: []\n", encoding="utf-8")
    lines = ["[gearman]", "server = 127.0.0.1", "[gerrit]", "server = review.example.org", "user = ci"]
    lines += ["baseurl = https://review.example.org", "[zuul]", f"state_dir = {tmp_path}"]
    lines += [f"layout_config = {tmp_path}/layout.yaml", "[database]", f"history_days = {DAYS}", ""]
    (tmp_path / "ci.conf").write_text("\n".join(lines), encoding="utf-8")
    settings, _ = read_settings(tmp_path / "ci.conf")
    journal = Journal(address_of(settings))
    journal.open()
    journal.keep_history([ended("new", DAYS - 1), ended("old", DAYS + 1)], upto=0)
    journal.close()
    return settings


def jobs(settings) -> list[str]:
    return [each["job_name"] for each in find_builds(reading_engine(address_of(settings)), Wanted())]


def test_a_start_forgets_old_builds(settings):
    assert jobs(settings) == ["new", "old"]
    begin(settings, load_for_service(settings), Turn(Lead())).journal.close()
    assert jobs(settings) == ["new"]


async def test_a_snapshot_while_the_service_runs_does_so_too(settings):
    beginning = begin(settings, load_for_service(settings), Turn(Lead()))
    beginning.journal.keep_history([ended("old", DAYS + 1)], upto=0)
    assert jobs(settings) == ["new", "old"]
    assert await make_snapshot(address_of(settings), settings.database)
    assert jobs(settings) == ["new"]
    beginning.journal.close()
