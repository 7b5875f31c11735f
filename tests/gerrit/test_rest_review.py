"""Reviews over REST: each arrives once, whatever is lost on the way (gerrit-wire.md 6.4 and 9)."""

from __future__ import annotations

import random
import time
from dataclasses import replace

import pytest
from gerrit_parts import VERSIONS, recorded_rest
from rest_double import LOGIN, PROJECT, Fault

from ci_gate.config.settings import GerritSettings
from ci_gate.gerrit.rest import Answer, RestSession
from ci_gate.gerrit.rest_access import RestAccess
from ci_gate.gerrit.rest_review import _judge, _Posting, _There, input_of
from ci_gate.model.change import Account, Vote
from ci_gate.model.event import Event
from ci_gate.model.report import DeliveryOutcome, Review

PATCH_SET = "3"
REVIEW = Review("gerrit", PROJECT, "1", PATCH_SET, 'Build "succeeded".\n\n- job url : SUCCESS', (("Verified", 1),))
SUBMIT = replace(REVIEW, flags=("submit",))


@pytest.fixture
async def access(double):
    made = RestAccess(double.settings())
    yield made
    await made.close()


@pytest.fixture
def session():
    return RestSession(GerritSettings("gerrit", "gerrit.invalid", "ci", password="secret"))


async def test_message_and_vote_arrive(double, access):
    assert (await access.post_review(REVIEW)).outcome is DeliveryOutcome.DELIVERED
    assert double.ours() == [f"Patch Set 3: Verified+1\n\n{REVIEW.message}"]


async def test_a_submit_follows_the_vote(double, access):
    assert (await access.post_review(SUBMIT)).outcome is DeliveryOutcome.DELIVERED
    assert double.posts() == ["review", "submit"]
    assert double.change["status"] == "MERGED"


async def test_a_refused_submit_says_why_and_leaves_the_vote(double, access):
    double.submittable = False
    delivery = await access.post_review(SUBMIT)
    assert delivery.outcome is DeliveryOutcome.REFUSED
    assert "submit requirement 'Workflow'" in delivery.text
    assert len(double.ours()) == 1


async def test_a_vote_that_is_not_ours_to_give_leaves_the_message_visible(double, access):
    delivery = await access.post_review(replace(SUBMIT, labels=(("Verified", 3),)))
    assert "restricted" in delivery.text
    assert double.ours() == [f"Patch Set 3:\n\n{REVIEW.message}"]
    assert double.change["status"] == "NEW"


async def test_a_value_that_gerrit_does_not_know_costs_only_the_options(double, access):
    double.faults = [Fault("/review", 400, "Invalid application/json in request")]
    delivery = await access.post_review(replace(REVIEW, options=(("notify", "NOBODY"),)))
    assert delivery.outcome is DeliveryOutcome.DELIVERED
    assert len(double.ours()) == 1


async def test_an_unknown_change_is_refused_for_good(access):
    delivery = await access.post_review(replace(REVIEW, number="4711"))
    assert delivery.outcome is DeliveryOutcome.REFUSED
    assert "Not found" in delivery.text


@pytest.mark.parametrize("status", [412, 429, 500, 502, 503])
async def test_trouble_inside_gerrit_may_pass(double, access, status):
    double.faults = [Fault("/review", status)]
    assert (await access.post_review(REVIEW)).outcome is DeliveryOutcome.TRANSIENT
    assert double.ours() == []


async def test_a_pause_that_gerrit_asks_for_is_kept(double, access):
    double.faults = [Fault("/review", 503, headers={"Retry-After": "100"})]
    for _ in range(2):
        assert (await access.post_review(REVIEW)).outcome is DeliveryOutcome.UNREACHABLE
    assert double.posts() == ["review"]


LOSSES = [("/review", False), ("/review", True), ("/submit", False), ("/submit", True)]


@pytest.mark.parametrize(("path", "applied"), LOSSES)
async def test_a_lost_answer_leads_to_one_message_and_one_submit(double, access, path, applied):
    double.faults = [Fault(path, applied=applied)]
    began = time.time()
    assert (await access.post_review(SUBMIT)).outcome is DeliveryOutcome.UNREACHABLE
    again = await access.post_review(SUBMIT, first_tried_at=began)
    assert again.outcome is DeliveryOutcome.DELIVERED
    assert len(double.ours()) == 1
    assert double.change["status"] == "MERGED"
    assert double.posts().count("submit") == (2 if (path, applied) == ("/submit", False) else 1)


@pytest.mark.parametrize("seed", range(40))
async def test_whatever_fails_and_however_often_it_ends_with_one_message_and_one_submit(double, access, seed):
    draw = random.Random(seed)  # noqa: S311  # faults from a seed
    double.faults = [
        Fault(
            draw.choice(["/review", "/submit", "~1"]),
            draw.choice([0, 0, 500, 502, 429, 412]),
            applied=draw.random() < 0.5,
        )
        for _ in range(draw.randint(1, 5))
    ]
    began, tries = time.time(), 1
    delivery = await access.post_review(SUBMIT)
    while delivery.outcome in (DeliveryOutcome.UNREACHABLE, DeliveryOutcome.TRANSIENT) and tries < 10:
        tries += 1
        delivery = await access.post_review(SUBMIT, first_tried_at=began)
    assert delivery.outcome is DeliveryOutcome.DELIVERED, f"seed {seed}: {delivery.text}"
    assert len(double.ours()) == 1
    assert double.change["status"] == "MERGED"


async def test_between_vote_and_submit_a_crash_leaves_only_the_submit_to_do(double, access):
    began = time.time()
    await access.post_review(REVIEW)
    assert (await access.post_review(SUBMIT, first_tried_at=began)).outcome is DeliveryOutcome.DELIVERED
    assert double.posts() == ["review", "submit"]


async def test_a_repeat_that_is_refused_does_not_say_it_again(double, access):
    began = time.time()
    await access.post_review(REVIEW)
    double.submittable = False
    delivery = await access.post_review(SUBMIT, first_tried_at=began)
    assert delivery.outcome is DeliveryOutcome.REFUSED
    assert len(double.ours()) == 1


async def test_what_others_or_an_earlier_run_said_is_not_taken_for_ours(double, access):
    await access.post_review(REVIEW)
    double.change["messages"][-1]["author"] = {"username": "somebody"}
    await access.post_review(REVIEW, first_tried_at=time.time())
    assert len(double.ours()) == 2
    await access.post_review(REVIEW, first_tried_at=time.time() + 3600)
    assert len(double.ours()) == 3


async def test_without_a_look_nothing_is_repeated(double, access):
    double.faults = [Fault("~1", 500), Fault("~1", 200, ")]}'\n[]")]
    for _ in range(2):
        delivery = await access.post_review(REVIEW, first_tried_at=time.time())
        assert delivery.outcome is DeliveryOutcome.UNREACHABLE
    assert double.posts() == []


async def test_a_gerrit_that_is_away_is_tried_again_by_the_caller(double, access):
    await double.stop()
    delivery = await access.post_review(REVIEW)
    assert delivery.outcome is DeliveryOutcome.UNREACHABLE
    assert "cannot reach Gerrit" in delivery.text
    await double.start()


def test_things_are_done_in_the_order_of_the_command_over_ssh(double):
    flags, options = ("submit", "restore", "abandon", "rebase"), (("move", "stable"),)
    review = replace(REVIEW, flags=flags, options=options)

    def requests(there: _There) -> list[str]:
        return [path for path, _, _ in _Posting(RestSession(double.settings()), there)._requests(review)]

    everything = ["restore", "revisions/3/review", "move", "abandon", "rebase", "revisions/3/submit"]
    assert requests(_There()) == everything
    assert requests(_There(said=True, status="NEW")) == ["move", "abandon", "rebase", "revisions/3/submit"]
    assert requests(_There(said=True, status="MERGED")) == ["restore", "move", "abandon", "rebase"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "name", ["refused-submit-conflict", "refused-submit-not-ready", "refused-submit-parent-not-ready"]
)
def test_a_refusal_to_submit_as_recorded_is_final(session, version, name):
    sample = recorded_rest(version)[name]
    refusal = _judge(session, SUBMIT, Answer(sample["status"], sample["answer"]))
    assert refusal.outcome is DeliveryOutcome.REFUSED
    assert refusal.instead is None


@pytest.mark.parametrize("version", VERSIONS)
def test_a_vote_too_high_as_recorded_leaves_the_message(session, version):
    sample = recorded_rest(version)["refused-vote-too-high"]
    refusal = _judge(session, REVIEW, Answer(sample["status"], sample["answer"]))
    assert refusal.instead == replace(REVIEW, labels=())


async def test_a_change_that_is_merged_already_needs_no_submit_and_the_message_is_posted(double, access):
    double.change["status"] = "MERGED"
    double.faults = [Fault("/review", 409, "change is merged\n")]
    delivery = await access.post_review(SUBMIT)
    assert delivery.outcome is DeliveryOutcome.DELIVERED
    assert double.ours() == [f"Patch Set 3:\n\n{SUBMIT.message}"]


async def test_before_a_repeat_a_change_that_is_merged_counts_as_submitted(double, access):
    double.change["status"] = "MERGED"
    again = await access.post_review(SUBMIT, first_tried_at=time.time())
    assert again.outcome is DeliveryOutcome.DELIVERED
    assert double.posts() == []


async def test_a_message_too_long_for_this_gerrit_is_cut_and_the_next_one_from_the_start(double, access):
    double.faults = [Fault("/review", 400, "Comment size exceeds limit (9000 > 2000)\n")]
    long = replace(REVIEW, message="\n".join(f"- job-{number} http://logs/{number} : SUCCESS" for number in range(300)))
    assert (await access.post_review(long)).outcome is DeliveryOutcome.DELIVERED
    (said,) = double.ours()
    assert len(said) < 2100
    assert "The rest was cut" in said
    await access.post_review(long)
    assert double.ours() == [said, said]
    assert len(double.posts()) == 3


def test_options_become_what_they_are_in_a_review():
    options = (("tag", "autogenerated:ci"), ("notify", "OWNER"), ("branch", "x"))
    found = input_of(replace(REVIEW, message="a\0b", options=options))
    assert found == {
        "message": "ab",
        "labels": {"Verified": 1},
        "tag": "autogenerated:ci",
        "notify": "OWNER",
        "drafts": "PUBLISH",
    }


async def test_a_label_that_gerrit_drops_is_told_of_whoever_the_account_over_http_is(double):
    access = RestAccess(replace(double.settings(), user="listener", http_user=LOGIN))
    told = []
    access.peer.alert = told.append
    await access.post_review(replace(REVIEW, labels=(("Tested", 1),)))
    comment = Event("comment-added", "gerrit", REVIEW.project, number=REVIEW.number, account=Account(username=LOGIN))
    access.peer.labels.heard(replace(comment, votes=(Vote("Verified", 0),)))
    await access.close()
    assert len(told) == 1
    assert "has no label Tested" in told[0]
