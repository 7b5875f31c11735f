"""Filters and requirements, row by row (scheduler.md 4, layout.md 5.3-5.5), and the reasons that people read."""

from __future__ import annotations

import ast
import string
from pathlib import Path

import pytest

from ci_gate.model.change import (
    NO_REVISION,
    Account,
    Change,
    ChangeKey,
    Periodic,
    PeriodicKey,
    RefKey,
    RefUpdate,
    Subject,
    Vote,
)
from ci_gate.model.event import Event
from ci_gate.model.expression import Expression
from ci_gate.model.layout import EventFilter, Pipeline, Requirements, VoteRequirement
from ci_gate.scheduler import explain
from ci_gate.scheduler.explain import TEXTS, Code, Decision, Verdict
from ci_gate.scheduler.filters import accept_event, check_event, check_requirements, check_votes

NOW = 1_000_000.0
DAY = 86_400.0
JOE = Account("Joe", "joe@example.org", "joe")
BOSS = Account("The Boss", "boss@example.org", "boss")


def regexes(*sources: str) -> tuple[Expression, ...]:
    return tuple(Expression(each) for each in sources)


def comment_event(**given: object) -> Event:
    known = {"project": "demo/app", "branch": "master", "number": "12", "patchset": "3", "account": JOE}
    return Event("comment-added", "gerrit", **{**known, "comment": "Patch Set 3:\n\nrecheck", **given})


def ref_event(ref: str | None = "refs/heads/master", newrev: str = "b" * 40) -> Event:
    return Event("ref-updated", "gerrit", "demo/app", ref=ref, oldrev="a" * 40, newrev=newrev, account=JOE)


def change(**given: object) -> Change:
    key = ChangeKey("gerrit", "12", "3")
    return Change(key, "demo/app", "master", "refs/changes/12/12/3", **given)


def vote(label: str = "Code-Review", value: int = 1, by: Account | None = JOE, age_s: float = 0.0) -> Vote:
    return Vote(label, value, by, NOW - age_s)


def wants(**wanted: object) -> EventFilter:
    return EventFilter("gerrit", ("comment-added", "ref-updated"), **wanted)


def verdict(wanted: EventFilter, event: Event, subject: Subject | None = None) -> Verdict:
    return check_event(wanted, event, subject or change(), NOW, reject_requires_votes=False)


def accepts(wanted: EventFilter, event: Event, subject: Subject | None = None) -> bool:
    return verdict(wanted, event, subject).passed


def text(found: Verdict | None) -> str:
    assert found is not None
    return Decision(NOW, "12,3", "check", found.code, found.values).text


# --- 4.1, an event against one filter ---


def test_row_1_any_of_the_types_must_equal_the_events():
    wanted = EventFilter("gerrit", ("patchset-created", "change-restored"))
    assert accepts(wanted, Event("change-restored", "gerrit", number="12"))
    assert not accepts(wanted, Event("change-restored-again", "gerrit", number="12"))
    assert text(verdict(wanted, comment_event())) == (
        "the event comment-added is not among patchset-created, change-restored"
    )


def test_a_filter_hears_its_own_connection_only():
    found = verdict(wants(), Event("comment-added", "other", "demo/app", number="12"))
    assert text(found) == "the event came over connection other, not gerrit"


def test_rows_2_and_11_filters_of_timers_and_of_the_service_itself_never_accept_what_gerrit_tells():
    timer = EventFilter("timer", ("timer",), timespecs=("0 2 * * *",))
    internal = EventFilter("zuul", ("comment-added",), pipelines=regexes("gate"))
    assert text(verdict(timer, Event("timer", "gerrit"))) == "the filter waits for the time 0 2 * * *"
    assert text(verdict(internal, comment_event())) == "the filter waits for an event of the service itself"


@pytest.mark.parametrize(
    ("entered", "accepted"), [("gate", True), ("gate-fast", True), ("my-gate", False), (None, False)]
)
def test_row_2_any_pipeline_expression_must_match_what_the_parent_entered(entered, accepted):
    """An event that does not say matches nothing, whatever the expression lets pass."""
    wanted = EventFilter("zuul", ("parent-change-enqueued", "project-change-merged"), pipelines=regexes("gate", "^$"))
    event = Event("parent-change-enqueued", "gerrit", number="12", pipeline=entered)
    assert accepts(wanted, event) is accepted


@pytest.mark.parametrize(
    ("branch", "accepted"),
    [("master", True), ("master-2", True), ("stable/1.0", True), ("old/master", False), (None, False)],
)
def test_row_3_any_branch_expression_must_match_at_the_start(branch, accepted):
    wanted = wants(branches=regexes("master", "^stable/"))
    assert accepts(wanted, comment_event(branch=branch)) is accepted


def test_row_3_says_which_branch_was_wanted():
    assert text(verdict(wants(branches=regexes("^master$", "dev")), comment_event(branch="stable"))) == (
        "branch 'stable' does not match ^master$ or dev"
    )
    assert text(verdict(wants(branches=regexes("master")), ref_event())) == (
        "the event has no branch, the filter asks for master"
    )


@pytest.mark.parametrize(
    ("ref", "accepted"),
    [("refs/tags/1.0", True), ("refs/tags/", True), ("master", False), ("x/refs/tags/1", False), (None, False)],
)
def test_row_4_any_ref_expression_must_match_at_the_start(ref, accepted):
    assert accepts(wants(refs=regexes("refs/tags/", "^release$")), ref_event(ref)) is accepted


def test_row_4_says_which_ref_was_wanted():
    wanted = wants(refs=regexes("^refs/tags/"))
    assert text(verdict(wanted, ref_event("master"))) == "ref 'master' does not match ^refs/tags/"
    assert text(verdict(wanted, comment_event())) == "the event has no ref, the filter asks for ^refs/tags/"


def test_row_5_deletions_are_ignored_unless_the_filter_wants_them():
    deletion = ref_event("refs/heads/old", NO_REVISION)
    assert text(verdict(wants(), deletion)) == "refs/heads/old was deleted, and deletions are ignored"
    assert accepts(wants(ignore_deletes=False), deletion)


@pytest.mark.parametrize(
    ("comment", "accepted"),
    [
        ("Patch Set 3:\n\nrecheck", True),
        ("Patch Set 3:\n\nRECHECK", True),
        ("Patch Set 3: Code-Review+1\n\n(2 comments)\n\nrecheck", True),
        ("Patch Set 3:\n\nplease recheck", False),
        ("", False),
        (None, False),
    ],
)
def test_row_6_any_comment_expression_must_be_found_in_the_whole_comment(comment, accepted):
    assert accepts(wants(comments=regexes("(?mi)^recheck$")), comment_event(comment=comment)) is accepted


def test_row_6_an_anchored_expression_without_multiline_never_matches_below_the_header_line():
    found = verdict(wants(comments=regexes("^recheck")), comment_event())
    assert text(found) == "the comment does not contain ^recheck"


@pytest.mark.parametrize(
    ("account", "accepted"),
    [
        (JOE, True),
        (Account("Joe", "joe@example.com", "joe"), False),
        (Account("Joe", None, "joe"), False),
        (None, False),
    ],
)
def test_row_7_the_accounts_email_must_contain_any_expression(account, accepted):
    assert accepts(wants(emails=regexes("nobody@", r"@example\.org$")), comment_event(account=account)) is accepted


@pytest.mark.parametrize(
    ("account", "accepted"),
    [(JOE, True), (Account(username="banjoe"), True), (BOSS, False), (Account("joe"), False), (None, False)],
)
def test_row_8_the_accounts_user_name_must_contain_any_expression(account, accepted):
    assert accepts(wants(usernames=regexes("jo")), comment_event(account=account)) is accepted


def test_rows_7_and_8_say_what_is_missing():
    nobody = comment_event(account=None)
    nameless = comment_event(account=Account("CI"))
    by_mail, by_name = wants(emails=regexes("@example")), wants(usernames=regexes("^joe$"))
    assert text(verdict(by_mail, nobody)) == "the event has no account, the filter asks for one"
    assert text(verdict(by_mail, nameless)) == "e-mail address None does not match @example"
    assert text(verdict(by_name, comment_event(account=BOSS))) == "user name 'boss' does not match ^joe$"


@pytest.mark.parametrize(
    ("carried", "accepted"),
    [
        ([("Code-Review", 2), ("Verified", 1)], True),
        ([("code review", 2), ("VERIFIED", 1), ("Workflow", 0)], True),
        ([("Code-Review", 2)], False),
        ([("Code-Review", 1), ("Verified", 1)], False),
        ([], False),
    ],
)
def test_row_9_every_wanted_vote_must_be_carried_by_the_event(carried, accepted):
    votes = tuple(Vote(label, value) for label, value in carried)
    wanted = wants(votes=(("code-review", 2), ("verified", 1)))
    assert accepts(wanted, comment_event(votes=votes)) is accepted


def test_row_9_names_the_vote_that_is_missing():
    found = verdict(wants(votes=(("workflow", 1),)), comment_event())
    assert text(found) == "the event does not carry the vote workflow=1"


def test_row_10_looks_at_the_votes_on_the_change_and_not_at_those_in_the_event():
    wanted = wants(require_approval=(VoteRequirement(labels=(("verified", frozenset({1})),)),))
    assert accepts(wanted, comment_event(), change(votes=(vote("Verified", 1),)))
    assert not accepts(wanted, comment_event(votes=(Vote("Verified", 1),)), change())


def test_row_10_a_rejected_vote_keeps_the_event_out():
    wanted = wants(reject_approval=(VoteRequirement(labels=(("verified", frozenset({-2, -1})),)),))
    assert accepts(wanted, comment_event(), change())
    found = verdict(wanted, comment_event(), change(votes=(vote("Verified", -2),)))
    assert text(found) == "a vote on the change is one that is rejected: verified: [-2, -1]"


def test_an_event_that_passes_every_check_is_accepted_with_the_trigger_named():
    wanted = wants(branches=regexes("master"), comments=regexes("recheck"), usernames=regexes("joe"))
    assert text(verdict(wanted, comment_event())) == (
        "the event comment-added is accepted by a filter of trigger gerrit"
    )


def test_empty_lists_ask_for_nothing():
    assert accepts(wants(), comment_event(branch=None, comment=None, account=None))


# --- several filters ---


def accepted_by(*filters: EventFilter) -> Verdict:
    pipeline = Pipeline("check", triggers=filters)
    return accept_event(pipeline, comment_event(), change(), NOW, reject_requires_votes=False)


def test_one_filter_that_accepts_is_enough():
    assert accepted_by(wants(branches=regexes("dev")), wants(), wants(comments=regexes("never"))).passed


def test_a_pipeline_without_triggers_accepts_nothing_and_says_so():
    assert text(accepted_by()) == "the pipeline has no triggers"


@pytest.mark.parametrize(
    "other",
    [
        EventFilter("gerrit", ("patchset-created",)),
        EventFilter("other", ("comment-added",)),
        EventFilter("timer", ("timer",), timespecs=("0 2 * * *",)),
        EventFilter("zuul", ("parent-change-enqueued",)),
    ],
    ids=["other type", "other connection", "timer", "internal"],
)
def test_the_reason_that_is_told_is_that_of_a_filter_for_such_events(other):
    nearly = wants(comments=regexes("^recheck-ALL$"))
    for filters in ((nearly, other), (other, nearly)):
        assert text(accepted_by(*filters)) == "the comment does not contain ^recheck-ALL$"


# --- 4.2, votes ---


def fits(requirement: VoteRequirement, *votes: Vote) -> bool:
    subject = change(votes=votes)
    return check_votes((requirement,), (), subject, NOW, reject_requires_votes=False) is None


def labelled(label: str, *values: int) -> tuple[tuple[str, frozenset[int]], ...]:
    return ((label, frozenset(values)),)


@pytest.mark.parametrize(
    ("age_s", "newer", "older"),
    [(2 * DAY - 0.001, True, False), (2 * DAY, True, False), (2 * DAY + 0.001, False, True)],
    ids=["just younger", "exactly", "just older"],
)
def test_a_vote_of_exactly_the_given_age_is_newer_and_not_older(age_s, newer, older):
    assert fits(VoteRequirement(newer_than_s=2 * DAY), vote(age_s=age_s)) is newer
    assert fits(VoteRequirement(older_than_s=2 * DAY), vote(age_s=age_s)) is older


def test_a_vote_without_a_date_is_as_old_as_can_be():
    dateless = Vote("Verified", 1, JOE)
    assert not fits(VoteRequirement(newer_than_s=DAY), dateless)
    assert fits(VoteRequirement(older_than_s=DAY), dateless)


@pytest.mark.parametrize("label", ["Code-Review", "code-review", "Code Review", "CODE REVIEW"])
def test_labels_are_compared_after_normalising(label):
    assert fits(VoteRequirement(labels=labelled("code-review", 1, 2)), vote(label, 2))
    assert fits(VoteRequirement(labels=labelled("Code Review", 2)), vote(label, 2))


def test_a_label_needs_one_of_the_given_values():
    requirement = VoteRequirement(labels=labelled("verified", 1, 2))
    assert fits(requirement, vote("Verified", 2))
    assert not fits(requirement, vote("Verified", -1))
    assert not fits(requirement, vote("Code-Review", 1))


def test_user_name_and_email_are_searched_and_a_missing_one_is_an_empty_text():
    boss = VoteRequirement(username=Expression("boss"))
    nobody = VoteRequirement(username=Expression("^$"), email=Expression("^$"))
    assert fits(boss, vote(by=Account(username="bigboss")))
    assert not fits(boss, vote(by=Account("boss", "boss@example.org")))
    assert fits(VoteRequirement(email=Expression("@example")), vote(by=BOSS))
    assert fits(nobody, vote(by=None))
    assert fits(nobody, vote(by=Account("CI")))


def test_one_single_vote_must_fit_all_keys():
    requirement = VoteRequirement(username=Expression("^boss$"), labels=labelled("code-review", 1, 2))
    assert not fits(requirement, vote("Code-Review", 2, JOE), vote("Verified", 1, BOSS))
    assert fits(requirement, vote("Code-Review", 2, JOE), vote("Code-Review", 1, BOSS))


def test_a_vote_without_a_label_fits_nothing():
    assert not fits(VoteRequirement(), vote(""))
    assert fits(VoteRequirement(), vote("Verified", 0))


def test_two_labels_in_one_mapping_can_never_be_satisfied():
    requirement = VoteRequirement(labels=(*labelled("verified", 1), *labelled("code-review", 2)))
    assert not fits(requirement, vote("Verified", 1), vote("Code-Review", 2))


def check(
    *, require: tuple[VoteRequirement, ...] = (), reject: tuple[VoteRequirement, ...] = (), votes: tuple[Vote, ...]
) -> str:
    found = check_votes(require, reject, change(votes=votes), NOW, reject_requires_votes=False)
    return "passes" if found is None else text(found)


def test_every_required_mapping_must_be_satisfied_and_no_rejected_one():
    verified = VoteRequirement(labels=labelled("verified", 1))
    workflow = VoteRequirement(labels=labelled("workflow", 1))
    both = (vote("Verified", 1), vote("Workflow", 1, BOSS))
    assert check(require=(verified, workflow), votes=both) == "passes"
    assert check(require=(verified, workflow), votes=both[:1]) == (
        "no vote on the change fits what is required: workflow: [1]"
    )
    assert check(require=(verified,), reject=(workflow,), votes=both) == (
        "a vote on the change is one that is rejected: workflow: [1]"
    )


def test_a_requirement_is_described_with_all_its_keys():
    requirement = VoteRequirement(Expression("^boss$"), Expression("@corp"), 2 * DAY, 3600, labelled("verified", 1))
    assert check(require=(requirement,), votes=()) == (
        "no vote on the change fits what is required: "
        "verified: [1], username: ^boss$, email: @corp, newer-than: 172800 s, older-than: 3600 s"
    )


def test_a_change_without_votes_fails_what_is_required_and_passes_what_is_rejected():
    requirement = VoteRequirement(labels=labelled("verified", 1))
    assert check(require=(requirement,), votes=()) != "passes"
    assert check(reject=(requirement,), votes=()) == "passes"


def test_reject_requires_votes_brings_the_stock_rule_back_for_filters_and_pipelines_alike():
    requirement = VoteRequirement(labels=labelled("verified", -2))
    pipeline = Pipeline("gate", reject=Requirements(approval=(requirement,)))
    at_entry = check_requirements(pipeline, change(), NOW, reject_requires_votes=True)
    in_filter = check_event(
        wants(reject_approval=(requirement,)), comment_event(), change(), NOW, reject_requires_votes=True
    )
    told = "a vote on the change is one that is rejected: a change without votes (reject_requires_votes)"
    assert text(at_entry) == text(in_filter) == told


# --- 4.3, requirements of a pipeline ---


def entry(subject: Subject, require: Requirements | None = None, reject: Requirements | None = None) -> str:
    pipeline = Pipeline("gate", require=require or Requirements(), reject=reject or Requirements())
    found = check_requirements(pipeline, subject, NOW, reject_requires_votes=False)
    return "enters" if found is None else text(found)


@pytest.mark.parametrize(
    ("require", "given", "told"),
    [
        ({"is_open": True}, {"is_open": False}, "open is False, the pipeline requires True"),
        ({"is_open": False}, {"is_open": True}, "open is True, the pipeline requires False"),
        (
            {"current_patchset": True},
            {"is_current": False},
            "current-patchset is False, the pipeline requires True",
        ),
        ({"statuses": ("NEW", "DRAFT")}, {"status": "new"}, "status is new, the pipeline requires NEW, DRAFT"),
        ({"wip": False}, {"wip": True}, "wip is True, the pipeline requires otherwise"),
        ({"private": True}, {"private": False}, "private is False, the pipeline requires otherwise"),
    ],
)
def test_what_a_pipeline_requires_of_a_change_is_refused_when_it_differs(require, given, told):
    assert entry(change(**given), Requirements(**require)) == told


def test_what_a_pipeline_requires_of_a_change_lets_it_in_when_it_is_so():
    require = Requirements(is_open=True, current_patchset=True, statuses=("NEW",), wip=False, private=False)
    assert entry(change(), require) == "enters"
    assert entry(change(is_open=False), Requirements(is_open=False)) == "enters"


def test_reject_refuses_the_marks_that_it_names():
    assert entry(change(wip=True), reject=Requirements(wip=True)) == "wip is True, the pipeline requires otherwise"
    assert entry(change(), reject=Requirements(wip=True, private=True)) == "enters"


def test_state_is_looked_at_before_votes():
    require = Requirements(is_open=True, approval=(VoteRequirement(labels=labelled("verified", 1)),))
    assert entry(change(is_open=False), require) == "open is False, the pipeline requires True"


@pytest.mark.parametrize(
    "subject",
    [
        RefUpdate(RefKey("gerrit", "demo/app", "master", "b" * 40), "a" * 40),
        Periodic(PeriodicKey("gerrit", "demo/app")),
    ],
    ids=["ref", "timer"],
)
def test_what_is_not_a_change_never_satisfies_require_and_is_not_touched_by_reject(subject):
    voted = Requirements(approval=(VoteRequirement(labels=labelled("verified", 1)),))
    assert entry(subject, Requirements(is_open=True)) == "the pipeline requires what only changes have"
    assert entry(subject, voted) == "the pipeline requires what only changes have"
    assert entry(subject, reject=voted) == "enters"


# --- reasons as people read them ---

MODULES = sorted(Path(explain.__file__).parent.glob("*.py"))


def uses_of_codes() -> list[tuple[str, Code, set[str]]]:
    """Where a code is given to a function, and the values that go with it."""
    found = []
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            codes = [ast.unparse(each) for each in node.args if ast.unparse(each).startswith("Code.")]
            names = {each.arg for each in node.keywords if each.arg}
            found += [(f"{path.name}:{node.lineno}", Code[each.removeprefix("Code.")], names) for each in codes]
    return found


def fields_of(code: Code) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(TEXTS[code]) if name}


def test_every_code_has_a_text():
    assert set(TEXTS) == set(Code)


def test_wherever_something_is_decided_the_values_of_its_text_are_given():
    uses = uses_of_codes()
    assert len(uses) > 30
    assert [(where, code) for where, code, values in uses if not fields_of(code) <= values] == []


def test_every_code_is_used():
    everywhere = "".join(path.read_text() for path in MODULES if path.name != "explain.py")
    assert [code for code in Code if f"Code.{code.name}" not in everywhere] == []
