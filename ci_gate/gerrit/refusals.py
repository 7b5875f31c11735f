"""What Gerrit says to a review that it does not take, and what follows: the words of gerrit-wire.md 6.4."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import structlog

from ci_gate.model.report import Delivery, DeliveryOutcome, Review

MOST_TRIES = 5
LEFT_OUT = ("Cc", "Cs")  # control characters, and halves of surrogate pairs
CLOCK_SLACK_S = 120.0  # between Gerrit's clock and ours

TRANSIENT = (
    "internal server error",
    "database error",
    "timeout",
    "service unavailable",
)
LOCK = re.compile(r"\block")  # and no "blocked by"
GONE = (
    "no such change",
    "no such patch set",
    "not found",
    "is not a valid patch set",
    "no matching patch set",
)
CLOSED = (
    "change is closed",
    "change is merged",
    "change is abandoned",
    "cannot reduce vote on labels for closed change",
)
NOT_SUBMITTED = (
    "submit requirement",
    "is not ready",
    "submit not permitted",
    "needs ",
    "blocked by",
    "work in progress",
    "conflict",
    "cannot merge",
    "missing dependency",
    "depends on change that was not submitted",
)
LABEL_REFUSED = ("is restricted", "is not a configured label", "outside range", "not permitted")
ACCOUNT = ("permission denied", "inactive")

log = structlog.stdlib.get_logger("zuul.GerritConnection")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Gerrit's words, and what they allow to try instead.

    ``settled``: what was asked for is so already, whatever becomes of that. ``for_operator``: it is configuration.
    ``unsubmitted``: what is tried instead does not submit, though that was asked for.
    """

    text: str
    instead: Review | None = None
    outcome: DeliveryOutcome = DeliveryOutcome.REFUSED
    settled: bool = False
    for_operator: bool = False
    unsubmitted: bool = False


async def deliver(
    review: Review, attempt: Callable[[Review], Awaitable[Refusal | None]], alert: Callable[[str], None]
) -> Delivery:
    """At most five tries: as it is, shorter, without what the server lacks, without votes.

    ``attempt`` tells why Gerrit refused, or None; ``alert`` is told what an operator has to put right.
    """
    said: list[str] = []
    name, left, settled, unsubmitted = f"{review.number},{review.patchset}", review, False, False
    while len(said) < MOST_TRIES:
        refusal = await attempt(left)
        if refusal is None:
            outcome = DeliveryOutcome.REFUSED if unsubmitted else DeliveryOutcome.DELIVERED
            return Delivery(outcome, "; ".join(said))
        log.warning("review refused", change=name, reason=refusal.text)
        if refusal.for_operator:
            alert(f"review of {name}: {refusal.text}")
        said.append(refusal.text)
        settled, unsubmitted = settled or refusal.settled, unsubmitted or refusal.unsubmitted
        if refusal.outcome is not DeliveryOutcome.REFUSED or refusal.instead is None:
            return Delivery(DeliveryOutcome.DELIVERED if settled else refusal.outcome, "; ".join(said))
        left = refusal.instead
    return Delivery(DeliveryOutcome.DELIVERED if settled else DeliveryOutcome.REFUSED, "; ".join(said))


def judge(review: Review, text: str) -> Refusal:
    """The first row of gerrit-wire.md 6.4 that fits what Gerrit said."""
    low = text.lower()
    if any(fragment in low for fragment in TRANSIENT) or LOCK.search(low):
        return Refusal(text, outcome=DeliveryOutcome.TRANSIENT)
    if any(fragment in low for fragment in GONE):
        return Refusal(text)
    if any(fragment in low for fragment in CLOSED):
        merged = "submit" in review.flags and "merged" in low
        return Refusal(text, instead=message_only(review), settled=merged)
    if "submit" in review.flags and any(fragment in low for fragment in NOT_SUBMITTED):
        return Refusal(text)
    if any(fragment in low for fragment in LABEL_REFUSED):
        return votes_refused(review, text)
    if any(fragment in low for fragment in ACCOUNT):
        return Refusal(text, outcome=DeliveryOutcome.UNREACHABLE, for_operator=True)
    return Refusal(text)


def votes_refused(review: Review, text: str) -> Refusal:
    """Then people are to see the message at least."""
    return Refusal(text, instead=message_only(review), for_operator=True, unsubmitted="submit" in review.flags)


def message_only(review: Review) -> Review | None:
    """The same without votes, so that people see the message; None if there were none."""
    bare = replace(review, labels=(), flags=())
    return bare if bare != review else None


# --- texts ---


def clean(text: str) -> str:
    """Without control characters, except line ends and tabs, and without what no encoding can carry."""
    return "".join(each for each in text if each in "\n\t" or unicodedata.category(each) not in LEFT_OUT)


def is_ours(review: Review, message: str, written_at: float, first_tried_at: float) -> bool:
    """Is a message of our account on the change this review's, of the time since the first try?

    ``review`` is as the server takes it: cut, if it was too long.
    """
    return (
        written_at >= first_tried_at - CLOCK_SLACK_S
        and message.startswith(f"Patch Set {review.patchset}:")
        and _comparable(message).endswith(_comparable(clean(review.message)))
    )


def _comparable(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()
