"""What a disk did to the journal is told, and no more is lost than has to be."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from recorded_world import RecordedWorld

from ci_gate.config.layout import LoadedLayout, load_layout
from ci_gate.config.settings import Settings
from ci_gate.daemon.beginning import Beginning, begin
from ci_gate.daemon.leadership import Lead
from ci_gate.daemon.recovery import JournalDamagedError
from ci_gate.daemon.rescue import NothingToRescueError, rescue
from ci_gate.daemon.standing_by import Turn
from ci_gate.store.journal import FILE, Journal, default_address
from ci_gate.store.last_step import SUFFIX

SEED = 3
SEED_OF_BEFORE = b"sixteen bytes !!".hex()  # the simulation's
PAGE = 4096


class Site:
    """A folder whose service was killed, its last steps in the write-ahead log, or (``stopped``) in the database."""

    def __init__(self, folder: Path, *, stopped: bool) -> None:
        (folder / "before").mkdir()
        recorded = RecordedWorld(default_address(folder / "before"), SEED)
        if stopped:
            recorded.journal.close()
        self.state_dir = shutil.copytree(folder / "before", folder / "state")
        recorded.journal.close()
        self.last = recorded.seq
        self.file = self.state_dir / FILE
        self.log = self.state_dir / f"{FILE}-wal"
        (folder / "layout.yaml").write_text("pipelines: []\nprojects: []\n")
        self.settings = Settings(folder / "ci.conf", folder / "layout.yaml", self.state_dir)
        self.loaded: LoadedLayout = load_layout(self.settings.layout_config, connections={})

    def begin(self) -> Beginning:
        return begin(self.settings, self.loaded, Turn(Lead()))

    def seed(self) -> str:
        beginning = self.begin()
        beginning.journal.close()
        assert beginning.loss is None
        return beginning.standing.scheduler.snapshot()["identifiers"]["seed"]


@pytest.fixture
def site(tmp_path, request) -> Site:
    return Site(tmp_path, stopped=getattr(request, "param", False))


def test_nothing_is_told_of_a_service_that_was_killed(site):
    beginning = site.begin()
    beginning.journal.close()
    assert beginning.loss is None
    assert beginning.standing.seq == site.last


@pytest.mark.parametrize("damage", ["cut off", "cut in half", "a page of noise"])
def test_lost_steps_are_named_and_no_identifier_of_theirs_is_given_out_again(site, damage):
    size = site.log.stat().st_size
    with site.log.open("r+b") as log:
        match damage:
            case "cut off":
                log.truncate(size - 100)
            case "cut in half":
                log.truncate(size // 2)
            case _:
                log.seek(size - PAGE)
                log.write(os.urandom(PAGE))
    beginning = site.begin()
    beginning.journal.close()
    gone_on_from = beginning.standing.seq
    assert 0 < gone_on_from < site.last
    assert beginning.loss is not None
    assert beginning.loss.startswith(f"the disk has lost steps {gone_on_from + 1} to {site.last} of the journal")
    later = site.seed()
    assert later == beginning.standing.scheduler.snapshot()["identifiers"]["seed"]
    assert later != SEED_OF_BEFORE


def test_an_older_copy_of_the_file_is_noticed_too(site):
    older = shutil.copy(site.file, site.state_dir / "older")
    site.begin().journal.close()
    journal = Journal(default_address(site.state_dir))
    journal.close()
    Path(older).replace(site.file)
    site.log.unlink(missing_ok=True)
    beginning = site.begin()
    beginning.journal.close()
    assert beginning.standing.seq < site.last
    assert beginning.loss is not None


@pytest.mark.parametrize("site", [True], indirect=True)
@pytest.mark.parametrize("part", range(12))
def test_whatever_page_is_damaged_a_start_is_refused_or_goes_on_and_a_rescue_helps(site, part):
    pages = site.file.stat().st_size // PAGE
    with site.file.open("r+b") as file:
        file.seek(PAGE * (pages - 1 - part * pages // 12))
        file.write(os.urandom(PAGE))
    if not (refusal := refusal_of(site)):
        return
    assert "ci-gate rescue keeps what can be read of it" in refusal
    try:
        found = rescue(site.file)
    except NothingToRescueError:
        return
    assert found.known == site.last
    assert found.damaged.exists()
    beginning = site.begin()
    beginning.journal.close()
    assert beginning.standing.seq == found.step
    assert (beginning.loss is not None) == (found.step < site.last)


def refusal_of(site: Site) -> str | None:
    try:
        site.begin().journal.close()
    except JournalDamagedError as problem:
        return str(problem)
    return None


@pytest.mark.parametrize("site", [True], indirect=True)
def test_a_rescue_keeps_all_up_to_the_last_good_step(site):
    with closing(sqlite3.connect(site.file)) as database, database:
        database.execute("UPDATE ci_gate_journal SET input = 'x' WHERE seq = ?", (site.last - 2,))
    with pytest.raises(JournalDamagedError, match=f"step {site.last - 2} cannot be read"):
        site.begin()
    assert rescue(site.file).step == site.last - 3
    beginning = site.begin()
    beginning.journal.close()
    assert beginning.standing.seq == site.last - 3


@pytest.mark.parametrize("site", [True], indirect=True)
def test_a_step_that_is_missing_in_the_middle_is_damage(site):
    with closing(sqlite3.connect(site.file)) as database, database:
        database.execute("DELETE FROM ci_gate_journal WHERE seq = ?", (site.last - 2,))
    with pytest.raises(JournalDamagedError, match=f"step {site.last - 2} cannot be read: .* {site.last - 1}"):
        site.begin()


def test_a_file_that_is_no_database_is_refused_and_nothing_can_be_rescued(site):
    site.log.unlink()
    site.file.write_bytes(os.urandom(3 * PAGE))
    with pytest.raises(JournalDamagedError, match=r"journal\.sqlite is damaged: .* is not a database; ci-gate rescue"):
        site.begin()
    with pytest.raises(NothingToRescueError):
        rescue(site.file)
    assert site.file.exists()


def test_what_is_noted_of_the_last_step_may_be_lost_itself(site):
    site.file.with_name(FILE + SUFFIX).write_text("x")
    beginning = site.begin()
    beginning.journal.close()
    assert beginning.loss is None
