"""Reviews and submits over REST: the same results as ``gerrit review``, delivered once (gerrit-wire.md 6 and 9).

What is one command over SSH are several requests here. Before a repeat the change is read: what has arrived of them is
not sent again, and the others are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ci_gate.gerrit.commands import NotSentError, OutcomeUnknownError
from ci_gate.gerrit.events import JsonObject
from ci_gate.gerrit.query import QUERY_S
from ci_gate.gerrit.refusals import Refusal, clean, deliver, is_ours, judge, votes_refused
from ci_gate.gerrit.rest import Answer, RestSession, in_path
from ci_gate.gerrit.rest_records import is_own, seconds_of
from ci_gate.model.change import MERGED
from ci_gate.model.report import Delivery, DeliveryOutcome, Review

REVIEW_S = 60.0
BEFORE = ("restore",)
AFTER = ("abandon", "rebase", "submit")
INPUTS = {"tag": "tag", "notify": "notify"}
STATUS_AFTER = {"submit": MERGED, "abandon": "ABANDONED", "restore": "NEW"}


class UnreadError(Exception):
    """The change could not be read before a repeat."""


@dataclass(frozen=True, slots=True)
class _There:
    """What a change shows of an earlier try. ``said``: nothing more is to be; one that is merged needs no votes."""

    said: bool = False
    status: str = ""


async def post_review(session: RestSession, review: Review, *, first_tried_at: float | None = None) -> Delivery:
    """As ``GerritAccess.post_review``."""
    try:
        there = _There() if first_tried_at is None else await _look(session, review, first_tried_at)
        posting = _Posting(session, there)
        delivery = await deliver(review, posting.attempt, session.alert)
    except (NotSentError, OutcomeUnknownError, UnreadError) as problem:
        return Delivery(DeliveryOutcome.UNREACHABLE, str(problem))
    if delivery.outcome is DeliveryOutcome.DELIVERED and not posting.has_sent:
        return Delivery(DeliveryOutcome.DELIVERED, delivery.text or "had arrived at an earlier try")
    return delivery


class _Posting:
    """The requests of one review, in the order in which ``gerrit review`` does things."""

    def __init__(self, session: RestSession, there: _There) -> None:
        self._session = session
        self._said = there.said
        self._status = there.status
        self.has_sent = False

    async def attempt(self, review: Review) -> Refusal | None:
        """Why Gerrit refused, or None."""
        session = self._session
        session.labels.sent(review.number, review.labels)
        for path, body, flag in self._requests(as_taken(session, review)):
            answer = await self._session.post(f"{_path(review)}/{path}", body, deadline_s=REVIEW_S)
            self.has_sent = True
            if not answer.is_good:
                refusal = _judge(session, review, answer)
                # What is stored already is not to be said again, with votes or without.
                return replace(refusal, instead=None) if self._said else refusal
            if flag is None:
                self._said = True
        return None

    def _requests(self, review: Review) -> Iterator[tuple[str, JsonObject, str | None]]:
        """Path below the change, body, and the flag that it is for."""
        here = f"revisions/{review.patchset}"
        yield from ((flag, {}, flag) for flag in BEFORE if self._is_to_do(flag, review))
        if not self._said:
            yield f"{here}/review", input_of(review), None
        destination = dict(review.options).get("move")
        if destination is not None:
            yield "move", {"destination_branch": destination}, "move"
        for flag in AFTER:
            if self._is_to_do(flag, review):
                yield f"{here}/{flag}" if flag == "submit" else flag, {}, flag

    def _is_to_do(self, flag: str, review: Review) -> bool:
        return flag in review.flags and (not self._status or self._status != STATUS_AFTER.get(flag))


def input_of(review: Review) -> JsonObject:
    """Gerrit's ReviewInput."""
    found: dict[str, Any] = {"drafts": "PUBLISH"}  # as gerrit review does
    if review.message:
        found["message"] = clean(review.message)
    if review.labels:
        found["labels"] = {label: int(value) for label, value in review.labels}
    found |= {INPUTS[name]: text for name, text in review.options if name in INPUTS}
    return found


def as_taken(session: RestSession, review: Review) -> Review:
    """Not longer than this Gerrit takes."""
    return replace(review, message=session.cut(review.message))


def _judge(session: RestSession, review: Review, answer: Answer) -> Refusal:
    """By its words, and where these say nothing by its status."""
    if session.learn_limit(answer.reason):
        return Refusal(answer.reason, instead=review)
    refusal = judge(review, answer.reason)
    if refusal.outcome is DeliveryOutcome.REFUSED and answer.may_pass:
        return Refusal(answer.reason, outcome=DeliveryOutcome.TRANSIENT)
    if refusal.instead is None and refusal.outcome is DeliveryOutcome.REFUSED:
        if answer.status == 400 and review.options:
            return Refusal(answer.reason, instead=replace(review, options=()))
        if answer.status == 403:
            return votes_refused(review, answer.reason)
    return refusal


async def _look(session: RestSession, review: Review, first_tried_at: float) -> _There:
    """Raises UnreadError, NotSentError or OutcomeUnknownError."""
    answer = await session.get(_path(review), [("o", "MESSAGES"), ("o", "DETAILED_ACCOUNTS")], deadline_s=QUERY_S)
    if answer.status == 404:  # which the review will hear too
        return _There()
    if not answer.is_good:
        raise UnreadError(answer.reason)
    try:
        info: JsonObject = answer.data()
        own = [each for each in info.get("messages") or () if is_own(each, session.user)]
        taken = as_taken(session, review)
        said = any(
            is_ours(taken, str(each.get("message", "")), seconds_of(each["date"]), first_tried_at) for each in own
        )
        status = str(info.get("status", ""))
        return _There(said or ("submit" in review.flags and status == MERGED), status)
    except (AttributeError, KeyError, TypeError, ValueError) as problem:
        raise UnreadError(f"an answer that makes no sense: {problem}") from problem


def _path(review: Review) -> str:
    return f"changes/{in_path(review.project)}~{review.number}"
