"""What a query shows of a change, and the events that are made of it; by the recorded samples where there are some."""

from __future__ import annotations

from pathlib import Path

import pytest
from gerrit_parts import VERSIONS, recorded_commands

from ci_gate.config.settings import GerritSettings
from ci_gate.gerrit.missed import events_of
from ci_gate.gerrit.seen import Seen
from ci_gate.model.event import Event

SETTINGS = GerritSettings("gerrit", "review.example.org", "ci", sshkey=Path("key"))
DEV = {"name": "Dev", "email": "dev@example.org", "username": "dev"}


def record(*messages: tuple[int, str], **fields) -> dict:
    patch_set = {"number": 1, "ref": "refs/changes/01/1/1", "createdOn": 100, "uploader": DEV} | fields
    return {
        "project": "org/app",
        "branch": "master",
        "number": 1,
        "status": "NEW",
        "comments": [{"timestamp": at, "reviewer": DEV, "message": text} for at, text in messages],
        "currentPatchSet": patch_set,
        "patchSets": [patch_set],
    }


def told(found: list[Event]) -> list[tuple[str, str | None]]:
    return [(each.type, each.comment) for each in found]


def test_only_what_happened_since_is_told_and_in_order():
    row = record((99, "Uploaded patch set 1."), (120, "Patch Set 1:\n\nsecond"), (110, "Patch Set 1:\n\nfirst"))
    assert told(events_of(row, 105, SETTINGS)) == [
        ("comment-added", "Patch Set 1:\n\nfirst"),
        ("comment-added", "Patch Set 1:\n\nsecond"),
    ]
    assert told(events_of(row, 100, SETTINGS))[0] == ("patchset-created", None)


@pytest.mark.parametrize(
    "note",
    ["Patch Set 2: Commit message was updated.", "Topic set to x", "Hashtags added: ci", "Uploaded patch set 2.", ""],
)
def test_notes_of_gerrits_own_are_no_comments(note):
    assert events_of(record((110, note)), 105, SETTINGS) == []


@pytest.mark.parametrize(
    ("message", "votes"),
    [
        ("Patch Set 1: Code-Review+2 Workflow+1\n\nGo", {"Code-Review": 2, "Workflow": 1}),
        ("Patch Set 1: -Verified", {"Verified": 0}),
        ("Patch Set 1: Verified-1 -Code-Review\n\n(2 comments)", {"Verified": -1, "Code-Review": 0}),
        ("Patch Set 1:\n\nCode-Review+2", {}),
    ],
)
def test_votes_stand_in_the_first_line(message, votes):
    (event,) = events_of(record((110, message)), 105, SETTINGS)
    assert {each.label: each.value for each in event.votes} == votes


def test_a_text_that_gerrit_keeps_apart_is_put_where_the_stream_has_it():
    row = record((110, "Patch Set 1:\n\n(1 comment)"))
    row["patchSets"][0]["comments"] = [{"file": "/PATCHSET_LEVEL", "reviewer": DEV, "message": "recheck"}]
    assert told(events_of(row, 105, SETTINGS)) == [("comment-added", "Patch Set 1:\n\nrecheck")]


def test_an_old_merge_is_not_told_because_of_a_new_comment():
    row = record(
        (110, "Patch Set 1:\n\nthanks"), approvals=[{"type": "SUBM", "value": "1", "grantedOn": 90, "by": DEV}]
    )
    row["status"] = "MERGED"
    assert told(events_of(row, 105, SETTINGS)) == [("comment-added", "Patch Set 1:\n\nthanks")]
    assert ("change-merged", None) in told(events_of(row, 80, SETTINGS))


@pytest.mark.parametrize(
    "nonsense", [{}, {"project": "p"}, {"project": "p", "number": "x"}, {"project": 1, "number": None}]
)
def test_a_row_without_sense_is_refused_by_its_reason(nonsense):
    with pytest.raises(ValueError, match="makes no sense"):
        events_of(nonsense, 0, SETTINGS)


@pytest.mark.parametrize("version", VERSIONS)
def test_recorded_changes_give_their_history(version):
    row = recorded_commands(version)["query-merged"]["stdout"][0]
    found = events_of(row, 0, SETTINGS)
    kinds = [each.type for each in found]
    assert kinds.count("patchset-created") == 1
    assert kinds.count("change-abandoned") == kinds.count("change-restored") == kinds.count("change-merged") == 1
    assert kinds.count("comment-added") >= 10
    seen = Seen()
    assert seen.find(found) == found
    assert seen.find(found) == []


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("Set private", "private-state-changed"),
        ("Unset private", "private-state-changed"),
        ("Set Work In Progress", "wip-state-changed"),
        ("Set Ready For Review\n\nhave a look", "wip-state-changed"),
        ("Unset privateer", None),
    ],
)
def test_a_change_that_was_hidden_or_shown_is_told(message, kind):
    assert [each.type for each in events_of(record((110, message)), 105, SETTINGS)] == ([kind] if kind else [])


@pytest.mark.parametrize("kind", ["wip-state-changed", "private-state-changed"])
def test_a_stream_that_names_no_patch_set_is_understood(kind):
    seen = Seen()
    stream = Event(kind, "gerrit", project="org/app", number="1", created_on=110)
    query = Event(kind, "gerrit", project="org/app", number="1", patchset="1", created_on=110)
    assert seen.tell(stream)
    assert seen.find([query]) == []
