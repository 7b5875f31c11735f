"""What REST shows of a change is the same as what a query over SSH shows (gerrit-wire.md 9)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from gerrit_parts import VERSIONS, recorded_commands, recorded_rest

from ci_gate.config.settings import GerritSettings
from ci_gate.gerrit.missed import events_of
from ci_gate.gerrit.query import details_of
from ci_gate.gerrit.requirements import readiness_of
from ci_gate.gerrit.rest_records import row_of, seconds_of
from ci_gate.model.change import RelatedChange
from ci_gate.scheduler.requirements import passes

BASE = "http://review.example.org"
SETTINGS = GerritSettings("gerrit", "review.example.org", "ci-gate")
CHILD, PARENT = 3, 2
INFO = {"_number": 7, "project": "p", "branch": "master", "change_id": "I7"}


def recorded(version: str) -> dict:
    return recorded_rest(version)["change-query"]["answer"][0]


@pytest.mark.parametrize("version", VERSIONS)
def test_both_ways_give_the_same_change(version):
    by_ssh = details_of(recorded_commands(version)["query-everything"]["stdout"][0], "gerrit")
    by_rest = details_of(row_of(recorded(version), BASE), "gerrit")
    current = by_ssh.patch_sets[-1:]  # all that was asked for over REST when this was recorded
    assert by_rest == replace(by_ssh, patch_sets=current)
    assert by_rest.votes
    assert "/COMMIT_MSG" in by_rest.patch_sets[-1].files


@pytest.mark.parametrize("version", VERSIONS)
def test_both_ways_give_the_same_missed_events(version):
    row = recorded_commands(version)["query-everything"]["stdout"][0]
    by_ssh = [each for each in events_of(row, 0, SETTINGS) if each.patchset == "3"]
    by_rest = [each for each in events_of(row_of(recorded(version), BASE), 0, SETTINGS) if each.patchset == "3"]
    assert [_comparable(each) for each in by_rest] == [_comparable(each) for each in by_ssh]
    assert any("recheck" in (each.comment or "") for each in by_rest)


def _comparable(event):
    return replace(event, votes=tuple(sorted(event.votes, key=lambda each: each.label)))


@pytest.mark.parametrize("version", VERSIONS)
def test_parents_and_children_are_found_among_the_related(version):
    rest, child = recorded_rest(version), recorded_commands(version)["query-series-second"]["stdout"][0]
    changes = {each["_change_number"]: each for each in rest["related"]["answer"]["changes"]}

    def related(number: int):
        commit = changes[number]["commit"]
        revision = {"_number": 1, "ref": f"refs/changes/0{number}/{number}/1", "commit": commit}
        info = INFO | {"_number": number, "current_revision": commit["commit"]}
        info["revisions"] = {commit["commit"]: revision}
        return details_of(row_of(info, BASE, related=list(changes.values())), "gerrit")

    assert list(related(CHILD).depends_on) == list(details_of(child, "gerrit").depends_on)
    assert related(CHILD).depends_on == (RelatedChange(str(PARENT), "1"),)
    assert related(PARENT).needed_by == (RelatedChange(str(CHILD), "1"),)
    assert related(PARENT).depends_on == related(CHILD).needed_by == ()


@pytest.mark.parametrize("version", VERSIONS)
def test_recorded_submit_requirements_say_what_a_gate_waits_for(version):
    known = readiness_of(recorded(version))
    assert not known.is_submittable
    unmet = {each.name for each in known.requirements if not passes(each, {"verified"})}
    assert unmet == {"Workflow", "Code-Review"}
    assert all(passes(each, {"verified", "workflow", "code-review"}) for each in known.requirements)


def test_a_vote_of_0_is_no_vote_and_a_merge_lists_what_it_brings():
    commit = {"message": "m", "parents": [{"commit": "a"}, {"commit": "b"}]}
    info = INFO | {
        "current_revision": "c",
        "revisions": {"c": {"_number": 2, "ref": "refs/changes/07/7/2", "commit": commit, "files": {"f": {}}}},
        "labels": {"Verified": {"all": [{"value": 0, "username": "x"}, {"username": "y"}, {"value": -1}]}},
    }
    found = details_of(row_of(info, BASE), "gerrit")
    assert [vote.value for vote in found.votes] == [-1]
    assert found.patch_sets[0].files == ("/COMMIT_MSG", "/MERGE_LIST", "f")


def test_states_that_keep_a_change_out_are_carried_over():
    found = details_of(row_of(INFO | {"work_in_progress": True, "is_private": True}, BASE), "gerrit")
    assert (found.wip, found.private, found.is_open) == (True, True, True)
    assert not details_of(row_of(INFO | {"status": "ABANDONED"}, BASE), "gerrit").is_open


def test_an_edit_that_is_not_published_is_no_patch_set():
    revisions = {"e": {"_number": "edit", "ref": "x"}, "c": {"_number": 1, "ref": "refs/changes/07/7/1"}}
    found = details_of(row_of(INFO | {"revisions": revisions, "current_revision": "c"}, BASE), "gerrit")
    assert [each.number for each in found.patch_sets] == ["1"]


def test_servers_before_3_5_tell_by_their_labels_what_is_lacking():
    labels = {
        "Code-Review": {"approved": {}},
        "Verified": {},
        "Workflow": {"rejected": {}, "blocking": True},
        "Nice": {"optional": True},
    }
    (record,) = details_of(row_of(INFO | {"labels": labels, "submittable": False}, BASE), "gerrit").submit_records
    assert record.status == "NOT_READY"
    assert [(each.label, each.status) for each in record.labels] == [
        ("Code-Review", "OK"),
        ("Verified", "NEED"),
        ("Workflow", "REJECT"),
        ("Nice", "MAY"),
    ]


def test_dates_are_utc():
    assert seconds_of("1970-01-02 00:00:01.500000000") == 86401
