"""``gerrit review``: a message, votes and options on a patch set; delivered once (gerrit-wire.md 6)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary, WeakSet

import structlog

from ci_gate.gerrit.commands import CommandPool, CommandResult, NotSentError, OutcomeUnknownError
from ci_gate.gerrit.query import JsonObject, QueryFailedError, query
from ci_gate.model.labels import normal_label
from ci_gate.model.report import Delivery, DeliveryOutcome, Review

REVIEW_S = 60.0
MOST_TRIES = 5
LONGEST_MESSAGE = (
    16 * 1024
)  # as Java counts, in UTF-16 units: Gerrit's change.commentSizeLimit unless a site has another
SHORTEST_MESSAGE = 256
CUT_NOTE = "\n(The rest was cut: Gerrit limits the length of comments.{where})\n"
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
ACCOUNT = ("permission denied", "inactive")
TOO_LONG = re.compile(r"Comment size exceeds limit \(\d+ > (\d+)\)", re.IGNORECASE)
BAD_OPTION = re.compile(r'"--(?P<option>[\w-]+)" is not a valid option|is not a valid value for "--(?P<value>[\w-]+)"')

log = structlog.stdlib.get_logger("zuul.GerritConnection")

_refused_options: WeakKeyDictionary[CommandPool, set[str]] = WeakKeyDictionary()
"""Options that a server does not know; they are left out from then on."""

_limits: WeakKeyDictionary[CommandPool, int] = WeakKeyDictionary()
"""The longest message where a site takes less than is usual."""

_old_labels: WeakSet[CommandPool] = WeakSet()
"""Servers before 2.6, which have an option for each label in place of ``--label``."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Gerrit's words, and what they allow to try instead.

    ``settled``: what was asked for is so already, whatever becomes of that. ``for_operator``: it is configuration.
    """

    text: str
    instead: Review | None = None
    outcome: DeliveryOutcome = DeliveryOutcome.REFUSED
    settled: bool = False
    for_operator: bool = False


async def post_review(pool: CommandPool, review: Review, *, first_tried_at: float | None = None) -> Delivery:
    """Post a review and tell what became of it.

    ``first_tried_at`` (seconds since the epoch) marks a repeat: then the change's messages are read first, and a
    review of ours that has arrived meanwhile counts as delivered.
    """
    try:
        if first_tried_at is not None and await _has_arrived(pool, review, first_tried_at):
            return Delivery(DeliveryOutcome.DELIVERED, "had arrived at an earlier try")
        return await _post(pool, review)
    except (NotSentError, OutcomeUnknownError, QueryFailedError) as problem:
        return Delivery(DeliveryOutcome.UNREACHABLE, str(problem))


async def _post(pool: CommandPool, review: Review) -> Delivery:
    """At most five tries: as it is, shorter, without what the server lacks, without votes."""
    said: list[str] = []
    name, attempt, settled = f"{review.number},{review.patchset}", review, False
    while len(said) < MOST_TRIES:
        pool.labels.sent(attempt.number, attempt.labels)
        command = command_of(_as_the_server_takes_it(pool, attempt), old_labels=pool in _old_labels)
        result = await pool.run(command, deadline_s=REVIEW_S, urgent=True)
        if result.exit_status == 0:
            return Delivery(DeliveryOutcome.DELIVERED, "; ".join(said))
        refusal = _judge(pool, attempt, result)
        log.warning("review refused", change=name, reason=refusal.text)
        if refusal.for_operator:
            pool.alert(f"review of {name}: {refusal.text}")
        said.append(refusal.text)
        settled = settled or refusal.settled
        if refusal.outcome is not DeliveryOutcome.REFUSED or refusal.instead is None:
            return Delivery(DeliveryOutcome.DELIVERED if settled else refusal.outcome, "; ".join(said))
        attempt = refusal.instead
    return Delivery(DeliveryOutcome.DELIVERED if settled else DeliveryOutcome.REFUSED, "; ".join(said))


def _judge(pool: CommandPool, review: Review, result: CommandResult) -> _Refusal:
    """The first row of gerrit-wire.md 6.4 that fits. Only the exit status told that it failed."""
    text = _first_reason(result)
    low = text.lower()
    if _learn(pool, review, result):
        return _Refusal(text, instead=review)
    if any(fragment in low for fragment in TRANSIENT):
        return _Refusal(text, outcome=DeliveryOutcome.TRANSIENT)
    if any(fragment in low for fragment in GONE):
        return _Refusal(text)
    if any(fragment in low for fragment in CLOSED):
        merged = "submit" in review.flags and "merged" in low
        return _Refusal(text, instead=_message_only(review), settled=merged)
    if "submit" in review.flags and any(fragment in low for fragment in NOT_SUBMITTED):
        return _Refusal(text)
    if any(fragment in low for fragment in LABEL_REFUSED):
        return _Refusal(text, instead=_message_only(review), for_operator=True)
    if any(fragment in low for fragment in ACCOUNT):
        return _Refusal(text, outcome=DeliveryOutcome.UNREACHABLE, for_operator=True)
    return _Refusal(text)


def _learn(pool: CommandPool, review: Review, result: CommandResult) -> bool:
    """Was it something that this server never takes, so that from now on it is not sent?"""
    option, size = BAD_OPTION.search(result.stderr), TOO_LONG.search(result.stderr)
    if size is not None and (known := _limits.get(pool, LONGEST_MESSAGE)) > SHORTEST_MESSAGE:
        # A server that names no less than we keep to counts in another way, as in bytes.
        _limits[pool] = max(SHORTEST_MESSAGE, int(size[1]) if int(size[1]) < known else known // 2)
        return True
    name = (option["option"] or option["value"]) if option else None
    if name == "label" and pool not in _old_labels:
        _old_labels.add(pool)
        return True
    if name in {each for each, _ in review.options} | set(review.flags):
        _refused_options.setdefault(pool, set()).add(str(name))
        return True
    return False


def _first_reason(result: CommandResult) -> str:
    lines = [line.strip() for line in result.stderr.splitlines() if line.strip()]
    reasons = [line for line in lines if "one or more reviews failed" not in line]
    return " ".join(reasons) or f"exit status {result.exit_status} without a reason"


def _message_only(review: Review) -> Review | None:
    """The same without votes, so that people see the message; None if there were none."""
    bare = replace(review, labels=(), flags=())
    return bare if bare != review else None


def _as_the_server_takes_it(pool: CommandPool, review: Review) -> Review:
    """Without the options that it refused, and not longer than it takes."""
    refused = _refused_options.get(pool, frozenset[str]())
    options = tuple(each for each in review.options if each[0] not in refused)
    flags = tuple(each for each in review.flags if each not in refused)
    return replace(review, message=_cut(pool, review.message), options=options, flags=flags)


def command_of(review: Review, *, old_labels: bool = False) -> str:
    """The command line, as Gerrit's server splits it (gerrit-wire.md 6.1 and 6.2)."""
    return " ".join(_words(review, old_labels=old_labels))


def _words(review: Review, *, old_labels: bool) -> Iterator[str]:
    yield "gerrit review"
    yield f"--project {_quoted(review.project)}"
    if review.message:
        yield f"--message {_quoted(review.message)}"
    for label, value in review.labels:
        yield f"--{normal_label(label)} {value}" if old_labels else f"--label {_quoted(f'{label}={value}')}"
    for name, text in review.options:
        if text:  # the server loses empty words
            yield f"--{name} {_quoted(text)}"
    for flag in review.flags:
        yield f"--{flag}"
    yield f"{review.number},{review.patchset}"


def _quoted(text: str) -> str:
    """In double quotes, with ``\\`` and ``"`` escaped; control characters except line ends and tabs are left out."""
    if re.fullmatch(r"[A-Za-z0-9_./@+=:,-]+", text):
        return text
    clean = "".join(each for each in text if each in "\n\t" or ord(each) >= 32)
    return '"' + clean.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _cut(pool: CommandPool, message: str) -> str:
    """Not longer than Gerrit takes, cut at the end of a line where there is one."""
    most = min(_limits.get(pool, LONGEST_MESSAGE), LONGEST_MESSAGE)
    if _units(message) <= most:
        return message
    url = pool.settings.status_url
    note = CUT_NOTE.format(where=f" All of it: {url}" if url else " The status page has all of it.")
    raw = message.encode("utf-16-le", errors="replace")
    kept = raw[: 2 * max(0, most - _units(note))].decode("utf-16-le", errors="ignore")
    return (kept[: kept.rfind("\n")] if "\n" in kept else kept) + note


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", errors="replace")) // 2


async def _has_arrived(pool: CommandPool, review: Review, first_tried_at: float) -> bool:
    """Is there a message of ours with this text on this patch set, of the time since the first try?"""
    records = await query(pool, f"change:{review.number}", "--comments")
    comments: list[JsonObject] = [each for record in records for each in record.get("comments") or ()]
    wanted = _comparable(_cut(pool, review.message))
    return any(
        (each.get("reviewer") or {}).get("username") == pool.settings.user
        and float(each.get("timestamp", 0)) >= first_tried_at - CLOCK_SLACK_S
        and str(each.get("message", "")).startswith(f"Patch Set {review.patchset}:")
        and _comparable(str(each["message"])).endswith(wanted)
        for each in comments
    )


def _comparable(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()
