"""``gerrit review``: a message, votes and options on a patch set; delivered once (gerrit-wire.md 6)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from weakref import WeakKeyDictionary

from ci_gate.gerrit.commands import CommandPool, CommandResult, NotSentError, OutcomeUnknownError
from ci_gate.gerrit.query import JsonObject, QueryFailedError, query
from ci_gate.gerrit.refusals import Refusal, clean, cut, deliver, is_ours, judge
from ci_gate.model.report import Delivery, DeliveryOutcome, Review

REVIEW_S = 60.0
BAD_OPTION = re.compile(r'"--(?P<option>[\w-]+)" is not a valid option|is not a valid value for "--(?P<value>[\w-]+)"')

_refused_options: WeakKeyDictionary[CommandPool, set[str]] = WeakKeyDictionary()
"""Options that a server does not know; they are left out from then on."""


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
    async def attempt(review: Review) -> Refusal | None:
        result = await pool.run(command_of(_without_refused(pool, review)), deadline_s=REVIEW_S)
        return None if result.exit_status == 0 else _judge(pool, review, result)

    return await deliver(review, attempt)


def _judge(pool: CommandPool, review: Review, result: CommandResult) -> Refusal:
    """Only the exit status told that it failed."""
    text = _first_reason(result)
    option = BAD_OPTION.search(result.stderr)
    if option is not None:
        name = option["option"] or option["value"]
        if name in {each for each, _ in review.options} | set(review.flags):
            _refused_options.setdefault(pool, set()).add(name)
            return Refusal(text, instead=review)
    return judge(review, text)


def _first_reason(result: CommandResult) -> str:
    lines = [line.strip() for line in result.stderr.splitlines() if line.strip()]
    reasons = [line for line in lines if "one or more reviews failed" not in line]
    return " ".join(reasons) or f"exit status {result.exit_status} without a reason"


def _without_refused(pool: CommandPool, review: Review) -> Review:
    refused = _refused_options.get(pool)
    if not refused:
        return review
    options = tuple(each for each in review.options if each[0] not in refused)
    return replace(review, options=options, flags=tuple(each for each in review.flags if each not in refused))


def command_of(review: Review) -> str:
    """The command line, as Gerrit's server splits it (gerrit-wire.md 6.1 and 6.2)."""
    return " ".join(_words(review))


def _words(review: Review) -> Iterator[str]:
    yield "gerrit review"
    yield f"--project {_quoted(review.project)}"
    if review.message:
        yield f"--message {_quoted(cut(review.message))}"
    for label, value in review.labels:
        yield f"--label {_quoted(f'{label}={value}')}"
    for name, text in review.options:
        yield f"--{name} {_quoted(text)}"
    for flag in review.flags:
        yield f"--{flag}"
    yield f"{review.number},{review.patchset}"


def _quoted(text: str) -> str:
    """In double quotes, with ``\\`` and ``"`` escaped; control characters except line ends and tabs are left out."""
    if re.fullmatch(r"[A-Za-z0-9_./@+=:,-]+", text):
        return text
    return '"' + clean(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


async def _has_arrived(pool: CommandPool, review: Review, first_tried_at: float) -> bool:
    records = await query(pool, f"change:{review.number}", "--comments")
    comments: list[JsonObject] = [each for record in records for each in record.get("comments") or ()]
    return any(
        (each.get("reviewer") or {}).get("username") == pool.settings.user
        and is_ours(review, str(each.get("message", "")), float(each.get("timestamp", 0)), first_tried_at)
        for each in comments
    )
