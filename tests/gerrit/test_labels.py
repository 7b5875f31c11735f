"""A label that a project does not have is told to the operator once (gerrit-wire.md 6.3)."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

import pytest
from gerrit_parts import PROJECT, settings_for, when

from ci_gate.gerrit.labels import MOST_WAITING, LabelWatch
from ci_gate.gerrit.review import post_review
from ci_gate.gerrit.stream import EventStream
from ci_gate.model.change import Account, Vote
from ci_gate.model.event import Event
from ci_gate.model.report import Review


@pytest.fixture
def told():
    return []


@pytest.fixture
def watch(told):
    return LabelWatch("ci", told.append)


def comment(number: str = "1", *, by: str = "ci", labels=("Verified", "Code-Review"), project: str = "p") -> Event:
    votes = tuple(Vote(each, 0) for each in labels)
    account = Account(None, None, by)
    return Event("comment-added", "gerrit", project=project, number=number, account=account, votes=votes)


def test_a_label_that_is_there_is_no_news(watch, told):
    watch.sent("1", [("verified", 1), ("code review", 1)])
    watch.heard(comment())
    assert told == []


def test_one_that_is_not_there_is_told_once_a_project(watch, told):
    for number, project in (("1", "p"), ("2", "p"), ("3", "q")):
        watch.sent(number, [("Nope", 1), ("Verified", 1)])
        watch.heard(comment(number, project=project))
    assert [each.split(":")[0] for each in told] == ["project p has no label Nope", "project q has no label Nope"]


@pytest.mark.parametrize(
    "event",
    [
        comment(by="somebody"),
        comment(number="2"),
        comment(labels=()),  # an old server, which tells only of votes that were given
        replace(comment(), type="change-merged"),
        replace(comment(), account=None),
    ],
)
def test_events_that_say_nothing_of_it_are_passed_over(watch, told, event):
    watch.sent("1", [("Nope", 1)])
    watch.heard(event)
    assert told == []
    watch.heard(comment())
    assert len(told) == 1


def test_a_vote_of_0_may_show_nothing(watch, told):
    watch.sent("1", [("Nope", 0)])
    watch.heard(comment())
    assert told == []


def test_what_never_comes_back_is_forgotten(watch):
    for number in range(2 * MOST_WAITING):
        watch.sent(str(number), [("Verified", 1)])
    assert len(watch._sent) == MOST_WAITING


async def test_a_gerrit_that_drops_a_vote_without_a_word(gerrit, pool, change):
    told = []
    pool.alert = told.append
    stream = asyncio.create_task(EventStream(settings_for(gerrit), pool.labels.heard).run())
    await when(lambda: gerrit.listeners, "the stream")
    labels = (("Verified", 1), ("Fancy-Label", 1))
    review = Review("gerrit", PROJECT, "1", "1", "Build succeeded.", labels=labels)
    await post_review(pool, review)
    await when(lambda: told, "the alert")
    assert f"project {PROJECT} has no label Fancy-Label" in told[0]
    assert gerrit.votes(1, "Verified") == {"ci": 1}
    stream.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await stream
