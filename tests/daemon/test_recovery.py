"""From the journal to where the service stood. The histories are those of the simulation."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from recorded_world import RecordedWorld

from ci_gate.daemon.layouts import decode_layout, encode_layout
from ci_gate.daemon.recovery import JournalDamagedError, keep, last_kept, recover
from ci_gate.model.options import SchedulerSettings
from ci_gate.scheduler.effects import (
    CancelBuild,
    LaunchBuild,
    Merge,
    QueryChange,
    SearchChanges,
    SendReport,
    SetTimer,
    UpdateRepository,
    VerifySubmit,
)
from ci_gate.scheduler.inputs import LayoutReplaced
from ci_gate.store.journal import Entry, Journal

sys.path.insert(0, str(Path(__file__).parent.parent / "simulation"))


from simulated_layouts import random_layouts
from simulated_world import NoFunctions

WITH_LATE_CANCELS = 13


def without_tries(effect):
    return replace(effect, first_tried_at=None) if isinstance(effect, SendReport) else effect


@pytest.mark.parametrize("seed", [3, 4, 11, 5600])
def test_everything_stands_as_it_stood(journal_address, seed):
    recorded = RecordedWorld(journal_address, seed)
    world = recorded.world
    standing = recover(recorded.journal)
    assert standing.seq == recorded.seq
    assert json.dumps(standing.scheduler.snapshot()) == json.dumps(world.scheduler.snapshot())
    assert standing.layout == world.scheduler.layout
    for subject, known in world.scheduler.decisions.by_subject.items():
        assert [each.text for each in standing.scheduler.decisions.of(subject)] == [each.text for each in known]
    again = list(standing.outstanding)
    assert {each.ticket for each in again if isinstance(each, QueryChange | SearchChanges)} == set(world.asked)
    assert {each for each in again if isinstance(each, Merge | UpdateRepository)} == set(world.merges.values())
    cancelled = {each.uuid for each in again if isinstance(each, CancelBuild)}
    assert {each.request.uuid for each in again if isinstance(each, LaunchBuild)} - cancelled == set(world.builds)
    assert {each.item for each in again if isinstance(each, VerifySubmit)} == set(world.verifications)
    reports = {each.report_id: each for each in again if isinstance(each, SendReport)}
    assert set(reports) == set(world.reports)
    assert all(each.first_tried_at is not None for each in reports.values()), "they are looked for before they are sent"
    assert {each.timer for each in again if isinstance(each, SetTimer)} == {each.timer for each in world.timers}


def test_options_that_a_reload_brought_stand_too(journal_address):
    recorded = RecordedWorld(journal_address, 3)
    world, options = recorded.world, SchedulerSettings(status_url="http://new/")
    world.handle(LayoutReplaced(world.at, 1, world.scheduler.layout, NoFunctions(), options))
    standing = recover(recorded.journal)
    assert standing.options == options
    keep(recorded.journal, standing, world.at)
    assert last_kept(recorded.journal).options == options


def test_effects_without_an_outcome_of_the_last_step_may_never_have_left(journal_address):
    recorded = RecordedWorld(journal_address, WITH_LATE_CANCELS)
    recorded.journal.append([], released=0)
    standing = recover(recorded.journal)
    kept_at = recorded.journal.last_snapshot().seq
    late = [each for effects in recorded.world.outputs[kept_at:] for each in effects if isinstance(each, CancelBuild)]
    assert late, "the history is not what it was; choose another"
    to_repeat = standing.to_repeat
    for cancel in late:
        (again,) = [each for each in to_repeat if isinstance(each, CancelBuild) and each.uuid == cancel.uuid]
        (launch,) = [each for each in to_repeat if isinstance(each, LaunchBuild) and each.request.uuid == cancel.uuid]
        assert to_repeat.index(launch) < to_repeat.index(again), "by its launch the launcher finds the build"


def test_a_journal_that_cannot_be_read_says_where_and_what_to_do(journal_address):
    recorded = RecordedWorld(journal_address, 3)
    broken = Entry(recorded.seq + 1, 1.0, "MergeAnswered", '{"at": 1.0}', "[]", "[]")
    recorded.journal.append([broken], released=0)
    with pytest.raises(
        JournalDamagedError, match=rf"step {recorded.seq + 1} cannot be read: .* begin with empty queues"
    ):
        recover(recorded.journal)


def test_an_empty_journal_is_none(journal_address):
    journal = Journal(journal_address)
    journal.open()
    assert recover(journal) is None


@pytest.mark.parametrize("seed", range(5))
def test_layouts_come_back_equal(seed):
    for layout in random_layouts(seed):
        text = encode_layout(layout)
        again = decode_layout(text)
        assert again == layout
        assert encode_layout(again) == text
