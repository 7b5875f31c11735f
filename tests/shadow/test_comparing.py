"""Which differences are found in what a live system and its shadow said."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_gate.shadow.comparing import SETTLE_S, Difference, compare
from ci_gate.shadow.printing import as_json, as_text
from ci_gate.shadow.said import NO_ANSWER, JobResult, Kind, Said, Side

LATER = 100_000.0
UNIT, DOCS = JobResult("unit", "SUCCESS"), JobResult("docs", "SUCCESS")

DEAF = replace(UNIT, voting=False)


def live(**options: object) -> Said:
    given = {"votes": {"verified": 1}, "given": ("verified",), "jobs": (UNIT,), "pipeline": "check", **options}
    return Said("live 1", 10.0, Side.LIVE, Kind.SUCCEEDED, "gerrit", "demo/app", "12", "3", **given)


def shadow(**options: object) -> Said:
    given = {"answered_by": "live 1", **options}
    return replace(live(), id="shadow 1", at=11.0, side=Side.SHADOW, inside=True, decisions=("because",), **given)


def merged(said: Said, at: float, *, by_live: bool = True) -> Said:
    return replace(said, id=f"merged {at}", at=at, kind=Kind.MERGED, pipeline=None, jobs=(), submit=by_live)


def kinds(*said: Said, now: float = LATER) -> list[Difference]:
    return [each.kind for each in compare(said, now).differences]


def test_the_same_words_are_no_difference():
    found = compare([live(), shadow()], LATER)
    assert (found.compared, found.equal, found.pending, found.differences) == (1, 1, 0, ())


@pytest.mark.parametrize(
    ("ours", "expected", "detail"),
    [
        ({"jobs": (UNIT, DOCS)}, Difference.JOBS, "only the shadow runs docs"),
        ({"jobs": ()}, Difference.JOBS, "only the live system runs unit"),
        ({"jobs": (DEAF,)}, Difference.JOBS, "unit does not vote in the shadow and votes in the live system"),
        ({"jobs": (replace(UNIT, result="FAILURE"),)}, Difference.RESULT, "unit: live SUCCESS, shadow FAILURE"),
        ({"votes": {"verified": 2}}, Difference.VOTES, "verified: live +1, shadow +2"),
        ({"votes": {}, "given": ()}, Difference.VOTES, "verified: live +1, shadow +0"),
        ({"submit": True}, Difference.SUBMIT, "shadow: would merge it"),
    ],
)  # fmt: skip
def test_each_difference_is_named_once_with_its_reason(ours, expected, detail):
    found = compare([live(), shadow(**ours)], LATER)
    assert (found.compared, found.equal) == (1, 0)
    assert [each.kind for each in found.differences] == [expected]
    assert detail in found.differences[0].details
    assert found.differences[0].reasons == ("because",)
    assert found.by_kind == {expected: 1}


def test_another_verdict_is_another_result():
    assert kinds(live(), replace(shadow(), kind=Kind.FAILED)) == [Difference.RESULT]
    assert kinds(replace(live(), kind=Kind.UNMERGED, jobs=()), shadow()) == [Difference.RESULT]
    assert kinds(live(), replace(shadow(answered_by="", jobs=()), kind=Kind.UNMERGED)) == [Difference.RESULT]


def test_a_vote_that_only_stands_and_did_not_come_with_the_comment_is_not_compared():
    assert kinds(live(votes={"verified": 1}, given=()), shadow(votes={}, given=())) == []


def test_only_the_live_system_reported():
    found = compare([live(decisions=("status is NEW",))], LATER)
    assert [(each.kind, each.reasons) for each in found.differences] == [(Difference.ONLY_LIVE, ("status is NEW",))]
    assert found.compared == 0


def test_only_the_shadow_would_have_reported():
    assert kinds(shadow()) == [Difference.ONLY_SHADOW]


def test_what_was_never_answered_is_counted_apart():
    found = compare([shadow(answered_by="", jobs=(replace(UNIT, result=NO_ANSWER),))], LATER)
    assert [each.kind for each in found.differences] == [Difference.NO_ANSWER]
    assert found.no_answer == 1


def test_a_merge_failure_of_the_live_system_where_the_shadow_would_have_tested():
    theirs = replace(live(), kind=Kind.UNMERGED, jobs=())
    ours = replace(shadow(jobs=(replace(UNIT, result=NO_ANSWER),)), kind=Kind.FAILED)
    found = compare([theirs, ours], LATER)
    assert [each.kind for each in found.differences] == [Difference.RESULT]
    assert found.no_answer == 0


def test_what_may_still_come_is_pending():
    inside = live(inside=True)
    assert kinds(inside, now=inside.at + SETTLE_S - 1) == []
    assert compare([inside], inside.at + 1).pending == 1
    assert compare([shadow()], 12.0).pending == 1
    assert kinds(live(), now=11.0) == [Difference.ONLY_LIVE], "it was not even inside: nothing will come"


def test_a_report_is_paired_with_the_one_whose_results_it_took():
    first, failed = live(), replace(UNIT, result="FAILURE")
    second = replace(live(jobs=(failed,)), id="live 2", at=20.0, kind=Kind.FAILED)
    ours = replace(shadow(answered_by="live 2", jobs=second.jobs), at=21.0, kind=Kind.FAILED)
    found = compare([first, second, ours], LATER)
    assert (found.compared, found.equal) == (1, 1)
    assert [(each.kind, each.at) for each in found.differences] == [(Difference.ONLY_LIVE, first.at)]


def test_a_merge_counts_for_the_last_success_before_it_and_only_if_the_live_system_made_it():
    check, gate = live(), replace(live(pipeline="gate"), id="live 2", at=20.0)
    ours = [shadow(), replace(shadow(pipeline="gate", answered_by="live 2"), id="shadow 2", at=21.0)]
    assert kinds(check, ours[0], gate, ours[1]) == []
    assert kinds(check, ours[0], gate, ours[1], merged(gate, 22.0)) == [Difference.SUBMIT]
    assert kinds(check, ours[0], gate, ours[1], merged(gate, 22.0, by_live=False)) == []
    assert kinds(check, ours[0], gate, replace(ours[1], submit=True), merged(gate, 22.0)) == []


def test_another_order_of_merges():
    pairs = []
    for number, at in (("1", 10.0), ("2", 20.0)):
        pairs.append(replace(live(), id=f"live {number}", number=number, at=at))
        pairs.append(merged(pairs[-1], at + 1))
    ours = [
        replace(shadow(submit=True, answered_by=f"live {number}"), id=f"shadow {number}", number=number, at=at)
        for number, at in (("2", 21.0), ("1", 22.0))
    ]
    found = compare([*pairs, *ours], LATER)
    assert [each.kind for each in found.differences] == [Difference.ORDER]
    assert found.differences[0].details == ("live: 1,3 before 2,3", "shadow: 2,3 before 1,3")
    assert kinds(*pairs, *(replace(each, at=23.0 - float(each.number == "1")) for each in ours)) == []


def test_one_pipeline_alone():
    other = replace(live(pipeline="gate"), id="live 2")
    assert [each.pipeline for each in compare([live(), other], LATER, pipeline="gate").differences] == ["gate"]


def test_it_is_printed_with_its_reasons():
    found = compare([live(), shadow(jobs=(UNIT, DOCS))], LATER)
    text = list(as_text(found))
    assert text[0] == "1 item compared: 0 equal, 1 differing; 0 wait for the other side"
    assert text[1] == "  other jobs: 1"
    assert text[3].endswith("demo/app  12,3  check  other jobs")
    assert text[4:] == ["    only the shadow runs docs", "      shadow decided: because"]
    assert as_json(found)["by_kind"] == {"other jobs": 1}


SAID = st.builds(
    replace,
    st.sampled_from([live(), shadow(), shadow(answered_by=""), shadow(jobs=(replace(UNIT, result=NO_ANSWER),))]),
    id=st.sampled_from(["live 1", "live 2", "shadow 1", "shadow 2"]),
    kind=st.sampled_from(list(Kind)),
    pipeline=st.sampled_from(["check", "gate", None]),
    at=st.floats(0, 1000),
    submit=st.booleans(),
)


@given(st.lists(SAID, max_size=8, unique_by=lambda each: each.id), st.floats(0, 2000))
def test_each_final_word_is_compared_or_told_or_pending(said, now):
    said = sorted(said, key=lambda each: each.at)
    found = compare(said, now)
    assert 0 <= found.equal <= found.compared
    finals = [each for each in said if each.is_final]
    alone = {Difference.ONLY_LIVE, Difference.ONLY_SHADOW, Difference.NO_ANSWER}
    singles = sum(each.kind in alone for each in found.differences)
    at_least = 2 * found.compared + singles + found.pending
    assert at_least <= len(finals) <= at_least + found.pending + 2 * len(found.differences)
    assert list(as_text(found))
