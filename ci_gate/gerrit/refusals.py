"""What Gerrit says to a review that it does not take, and what follows: the words of gerrit-wire.md 6.4."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import structlog

from ci_gate.model.report import Delivery, DeliveryOutcome, Review

MOST_TRIES = 3
LONGEST_MESSAGE = 15 * 1024  # Gerrit's limit is 16 KiB, its header line included
CUT_NOTE = "\n(The rest was cut: Gerrit limits the length of comments. The status page has all of it.)\n"
CLOCK_SLACK_S = 120.0  # between Gerrit's clock and ours

TRANSIENT = (
    "internal server error",
    "database error",
    "lock_failure",
    "lock failure",
    "timeout",
    "service unavailable",
)
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

log = structlog.stdlib.get_logger("zuul.GerritConnection")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Gerrit's words, and what they allow to try instead."""

    text: str
    instead: Review | None = None
    outcome: DeliveryOutcome = DeliveryOutcome.REFUSED


async def deliver(review: Review, attempt: Callable[[Review], Awaitable[Refusal | None]]) -> Delivery:
    """At most three tries: as it is, without an option that the server lacks, without votes.

    ``attempt`` tells why Gerrit refused, or None.
    """
    said: list[str] = []
    left: Review | None = review
    while left is not None and len(said) < MOST_TRIES:
        refusal = await attempt(left)
        if refusal is None:
            return Delivery(DeliveryOutcome.DELIVERED, "; ".join(said))
        log.warning("review refused", change=f"{review.number},{review.patchset}", reason=refusal.text)
        said.append(refusal.text)
        if refusal.outcome is not DeliveryOutcome.REFUSED or refusal.instead is None:
            return Delivery(refusal.outcome, "; ".join(said))
        left = refusal.instead
    return Delivery(DeliveryOutcome.REFUSED, "; ".join(said))


def judge(review: Review, text: str) -> Refusal:
    """The first row of gerrit-wire.md 6.4 that fits what Gerrit said."""
    low = text.lower()
    if any(fragment in low for fragment in TRANSIENT):
        return Refusal(text, outcome=DeliveryOutcome.TRANSIENT)
    if any(fragment in low for fragment in GONE):
        return Refusal(text)
    if any(fragment in low for fragment in CLOSED):
        if "submit" in review.flags and "merged" in low:
            return Refusal(text, outcome=DeliveryOutcome.DELIVERED)
        return Refusal(text, instead=message_only(review))
    if "submit" in review.flags and any(fragment in low for fragment in NOT_SUBMITTED):
        return Refusal(text)
    if any(fragment in low for fragment in LABEL_REFUSED):
        return Refusal(text, instead=message_only(review))
    return Refusal(text)


def message_only(review: Review) -> Review | None:
    """The same without votes, so that people see the message; None if there were none."""
    bare = replace(review, labels=(), flags=())
    return bare if bare != review else None


# --- texts ---


def cut(message: str) -> str:
    """Not longer than Gerrit takes, cut at the end of a line where there is one."""
    raw = message.encode()
    if len(raw) <= LONGEST_MESSAGE:
        return message
    kept = raw[: LONGEST_MESSAGE - len(CUT_NOTE)].decode(errors="ignore")
    return (kept[: kept.rfind("\n")] if "\n" in kept else kept) + CUT_NOTE


def clean(text: str) -> str:
    """Without control characters, except line ends and tabs."""
    return "".join(each for each in text if each in "\n\t" or ord(each) >= 32)


def is_ours(review: Review, message: str, written_at: float, first_tried_at: float) -> bool:
    """Is a message of our account on the change this review's, of the time since the first try?"""
    return (
        written_at >= first_tried_at - CLOCK_SLACK_S
        and message.startswith(f"Patch Set {review.patchset}:")
        and _comparable(message).endswith(_comparable(clean(cut(review.message))))
    )


def _comparable(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()
