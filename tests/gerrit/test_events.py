"""Event lines of real Gerrits, old and new, as values (gerrit-wire.md 3)."""

from __future__ import annotations

import json

import pytest
from gerrit_parts import VERSIONS, recorded_events

from ci_gate.config.settings import GerritSettings
from ci_gate.gerrit.events import BadLineError, event_of, is_known, parse_line
from ci_gate.model.change import Account, Vote

SETTINGS = GerritSettings("gerrit", "review.example.org", "ci", baseurl="https://review.example.org")
RECORDED = [(version, each) for version in VERSIONS for each in recorded_events(version)]
NO_TRIGGER = {"project-created", "project-head-updated", "dropped-output", "batch-ref-updated"}


def event(**fields):
    found = {
        "type": "comment-added",
        "change": {"project": "demo/app", "branch": "master", "number": 7, "url": "https://r/7"},
        "patchSet": {"number": 2, "ref": "refs/changes/07/7/2"},
    }
    return event_of(found | fields, SETTINGS)


@pytest.mark.parametrize(("version", "found"), RECORDED, ids=[f"{v}-{each['type']}" for v, each in RECORDED])
def test_every_recorded_event_is_understood(version, found):
    parsed = parse_line(json.dumps(found))
    assert is_known(parsed["type"])
    made = event_of(parsed, SETTINGS)
    if found["type"] in NO_TRIGGER:
        assert made is None
        return
    assert made.type == found["type"]
    if "change" in found:
        assert made.number == str(found["change"]["number"])
        assert (made.project, made.branch) == (found["change"]["project"], found["change"]["branch"])
        assert made.change_id == found["change"]["id"]
        assert made.patchset == (str(found["patchSet"]["number"]) if "patchSet" in found else None)
    else:
        assert (made.project, made.ref) == (found["refUpdate"]["project"], found["refUpdate"]["refName"])


@pytest.mark.parametrize("number", [7, "7"])
def test_numbers_are_decimal_text_whatever_type_they_had(number):
    made = event(change={"project": "p", "branch": "b", "number": number}, patchSet={"number": number, "ref": "r"})
    assert (made.number, made.patchset) == ("7", "7")


def test_votes_have_the_labels_of_any_age():
    approvals = [
        {"type": "VRIF", "description": "Verified", "value": "-1"},
        {"type": "Code-Review", "value": "2"},
        {"type": "SUBM", "value": "1"},
    ]
    assert event(approvals=approvals).votes == (Vote("Verified", -1), Vote("Code-Review", 2))


def test_the_account_is_the_one_that_did_it():
    assert event(author={"name": "Ann", "username": "ann"}).account == Account("Ann", None, "ann")
    assert event().account is None


PEOPLE = (
    ("patchset-created", "uploader"),
    ("draft-published", "uploader"),
    ("change-abandoned", "abandoner"),
    ("change-restored", "restorer"),
    ("change-merged", "submitter"),
    ("merge-failed", "submitter"),
    ("comment-added", "author"),
    ("reviewer-added", "reviewer"),
    ("reviewer-deleted", "remover"),
    ("vote-deleted", "remover"),
    ("topic-changed", "changer"),
    ("hashtags-changed", "editor"),
    ("custom-keyed-values-changed", "editor"),
    ("assignee-changed", "changer"),
    ("wip-state-changed", "changer"),
    ("private-state-changed", "changer"),
    ("change-deleted", "deleter"),
)
WITHOUT_CHANGE = (
    "batch-ref-updated",
    "project-created",
    "project-head-updated",
    "dropped-output",
    "ref-replicated",
    "ref-replication-done",
    "ref-replication-scheduled",
)


@pytest.mark.parametrize(("kind", "field"), PEOPLE)
def test_each_type_has_its_account_and_no_other(kind, field):
    everybody = {each: {"username": each} for _, each in PEOPLE}
    assert event(type=kind, **everybody).account == Account(None, None, field)
    assert is_known(kind)


@pytest.mark.parametrize("kind", WITHOUT_CHANGE)
def test_types_that_name_no_change_are_known_and_trigger_nothing(kind):
    assert is_known(kind)
    assert event_of({"type": kind, "project": "p"}, SETTINGS) is None


def test_an_update_of_a_ref_by_nobody_is_one():
    update = {"project": "p", "refName": "refs/tags/v1", "oldRev": "0" * 40, "newRev": "1" * 40}
    assert event_of({"type": "ref-updated", "refUpdate": update}, SETTINGS).account is None
    told = {"type": "ref-updated", "refUpdate": update, "submitter": {"username": "ann"}}
    assert event_of(told, SETTINGS).account.username == "ann"


def test_fields_that_nobody_knows_yet_change_nothing():
    known = event(author={"username": "ann"}, approvals=[{"type": "Verified", "value": "1"}], instanceId="a")
    new = {"brandNew": {"deep": [1, {"er": None}]}}
    change = {"project": "demo/app", "branch": "master", "number": 7, "url": "https://r/7"} | new
    told = event(
        author={"username": "ann", "tags": ["SERVICE_USER"]} | new,
        approvals=[{"type": "Verified", "value": "1", "voter": {}} | new],
        change=change,
        patchSet={"number": 2, "ref": "refs/changes/07/7/2"} | new,
        instanceId="another-one",
        **new,
    )
    assert told == known


def test_a_deleted_change_has_no_patch_set():
    assert event(type="change-deleted", patchSet=None).patchset is None


def test_a_comment_is_kept_byte_for_byte():
    text = 'Patch Set 2: Verified+1\n\n  recheck "x" \\n\n'
    assert event(comment=text).comment == text


def test_a_ref_may_lose_its_prefix():
    found = {
        "type": "ref-updated",
        "refUpdate": {"project": "p", "refName": "refs/heads/x", "oldRev": "0" * 40, "newRev": "1" * 40},
    }
    assert event_of(found, SETTINGS).ref == "refs/heads/x"
    stripping = GerritSettings("gerrit", "h", "ci", strip_branch_ref=True)
    assert event_of(found, stripping).ref == "x"


def test_a_project_may_be_an_object():
    assert event(change={"project": {"name": "demo/app"}, "branch": "b", "number": 1}).project == "demo/app"


@pytest.mark.parametrize("line", ["", "{", "[]", "7", "null", '{"type": 3}', "{}", "[" * 100_000])
def test_what_is_no_event_is_a_bad_line(line):
    with pytest.raises(BadLineError):
        parse_line(line)


@pytest.mark.parametrize("change", [None, {}, {"number": "seven"}, {"number": None}, 7, []])
def test_impossible_fields_are_a_bad_line(change):
    with pytest.raises(BadLineError):
        event(change=change)
