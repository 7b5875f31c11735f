"""The build history follows the journal: whatever is missing in it is found there."""

from __future__ import annotations

import pytest
from recorded_parts import RecordedHistory, World
from scripted_world import NoFunctions, check_pipeline, layout, project
from sqlalchemy import create_engine, select
from sqlalchemy.exc import OperationalError

from ci_gate.daemon.history import HistoryWriter, Retention, catch_up, past_of, tidy
from ci_gate.daemon.outstanding import Outstanding
from ci_gate.daemon.recorder import Recorder
from ci_gate.daemon.records import decode_effects
from ci_gate.daemon.recovery import Standing
from ci_gate.scheduler.effects import RecordHistory
from ci_gate.scheduler.inputs import LayoutReplaced, TimerFired
from ci_gate.store.journal import Journal, default_address
from ci_gate.store.reading import reading_engine
from ci_gate.store.searching import Wanted, find_builds
from ci_gate.store.tables import past_build_sets, past_builds, past_items


def rows(address: str) -> list[list[tuple]]:
    with create_engine(address).connect() as connection:
        tables = (past_items, past_build_sets, past_builds)
        return [sorted(map(tuple, connection.execute(select(each))), key=str) for each in tables]


def builds_of(world: World, name: str) -> list[tuple]:
    (told,) = [each.build_set for each in world.all_effects if isinstance(each, RecordHistory)]
    assert told.change == str(ord(name) - ord("A") + 1)
    return [(each.job, each.result, each.started_at, each.ended_at) for each in told.builds]


# --- what the scheduler tells ---


def world() -> World:
    return World(layout(check_pipeline(), projects=(project("demo/one", check=["one"]),)))


def test_a_reported_item_is_told_with_its_builds_times_and_votes():
    told = world()
    told.upload("A")
    told.at += 5
    told.starts("one", "A")
    began, told.at = told.at, told.at + 60
    told.ends("one", "A")
    assert builds_of(told, "A") == [("one", "SUCCESS", began, began + 60)]
    (effect,) = [each for each in told.all_effects if isinstance(each, RecordHistory)]
    past = effect.build_set
    assert (past.result, past.score, past.message, past.again) == ("SUCCESS", 1, "Build succeeded.", False)
    assert (past.project, past.pipeline, past.branch, past.patchset) == ("demo/one", "check", "master", "1")
    assert past.zuul_ref == past.uuid
    assert past.item != past.uuid


def test_an_item_that_a_new_patch_set_drives_out_is_told_with_its_canceled_build():
    told = world()
    told.upload("A")
    told.starts("one", "A")
    told.new_patch_set("A")
    (effect,) = [each for each in told.all_effects if isinstance(each, RecordHistory)]
    assert effect.build_set.result == "CANCELED"
    assert [each.result for each in effect.build_set.builds] == ["CANCELED"]
    assert effect.build_set.patchset == "1"


@pytest.mark.parametrize("pipeline", ["check", "other"], ids=["its project is gone", "its pipeline is gone"])
def test_what_a_reload_takes_away_is_told_with_the_builds_that_it_had(pipeline):
    told = world()
    told.upload("A")
    told.starts("one", "A")
    new = layout(check_pipeline(name=pipeline), projects=(project("demo/one"),))
    told.step(LayoutReplaced(told.at, 1, new, NoFunctions()))
    assert [(job, result) for job, result, *_ in builds_of(told, "A")] == [("one", "CANCELED")]


# --- what is in the database ---


@pytest.mark.parametrize("seed", [3, 11, 5600])
def test_whatever_a_crash_left_out_is_written_from_the_journal_and_twice_is_once(tmp_path, seed):
    recorded = RecordedHistory(tmp_path, seed)
    steps = [(each.seq, decode_effects(each.effects)) for each in recorded.journal.entries(0)]
    told = [past for _, effects in steps for past in past_of(effects)]
    assert told, "the history is not what it was; choose another"
    half = steps[len(steps) // 2][0]
    recorded.journal.keep_history([past for seq, effects in steps if seq <= half for past in past_of(effects)], half)
    assert catch_up(recorded.journal) == len([1 for seq, effects in steps if seq > half for _ in past_of(effects)])
    complete = rows(recorded.address)
    assert {row[0] for row in complete[1]} == {each.uuid for each in told}
    assert catch_up(recorded.journal) == 0
    recorded.journal.keep_history([], upto=0)
    assert catch_up(recorded.journal) == len(told)
    assert rows(recorded.address) == complete


def test_a_step_is_not_forgotten_before_the_history_has_it(tmp_path):
    recorded = RecordedHistory(tmp_path, 3, snapshots=(249,))
    assert tidy(recorded.journal, Retention(1e12, 10**9, 0.0)) is None
    assert list(recorded.journal.entries(0)) == []
    assert find_builds(reading_engine(recorded.address), Wanted())


def test_old_builds_are_forgotten_with_the_steps(tmp_path):
    recorded = RecordedHistory(tmp_path, 3)
    assert tidy(recorded.journal, Retention(0.0, 10**9, 1e12)) is None
    assert rows(recorded.address) == [[], [], []]
    assert list(recorded.journal.entries(0)), "steps have a time of their own"


def past_effect(told: World) -> RecordHistory:
    return next(each for each in told.all_effects if isinstance(each, RecordHistory))


async def recorded_once(journal: Journal, effect: RecordHistory) -> None:
    standing = Standing(0, "", None, None, None, {}, Outstanding(), [])
    recorder = Recorder(journal, standing, release=lambda _: None, trouble=lambda _: None)
    recorder.record(TimerFired(1.0, "x"), [], [effect])
    await recorder.close()


async def test_the_service_writes_builds_once_their_step_is_in_the_journal(tmp_path):
    told = world()
    told.upload("A")
    told.ends("one", "A")
    journal = Journal(default_address(tmp_path))
    journal.open()
    await recorded_once(journal, past_effect(told))
    assert [each["job_name"] for each in find_builds(reading_engine(default_address(tmp_path)), Wanted())] == ["one"]
    assert journal.history_upto() == 1


async def test_a_history_that_cannot_be_written_stops_nothing_and_is_caught_up(tmp_path, monkeypatch):
    told = world()
    told.upload("A")
    told.ends("one", "A")
    effect = past_effect(told)
    journal = Journal(default_address(tmp_path))
    journal.open()
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "keep_history", _away)
        await recorded_once(journal, effect)
        assert tidy(journal, Retention(1e12, 10**9, 0.0)) is not None
    assert journal.last_seq() == 1, "the step is there, and stays"
    assert find_builds(reading_engine(default_address(tmp_path)), Wanted()) == []
    writer = HistoryWriter(journal)
    writer.follow([effect], upto=2)
    assert len(find_builds(reading_engine(default_address(tmp_path)), Wanted())) == 1


def _away(*_: object) -> None:
    raise OperationalError("INSERT", {}, Exception("disk I/O error"))
