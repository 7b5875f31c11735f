"""``gerrit review``: a message, votes and options on a patch set; delivered once (gerrit-wire.md 6)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from weakref import WeakKeyDictionary, WeakSet

from ci_gate.gerrit.commands import CommandPool, CommandResult, NotSentError, OutcomeUnknownError
from ci_gate.gerrit.query import JsonObject, QueryFailedError, query
from ci_gate.gerrit.refusals import Refusal, clean, deliver, is_ours, judge
from ci_gate.model.change import MERGED
from ci_gate.model.labels import normal_label
from ci_gate.model.report import Delivery, DeliveryOutcome, Review

REVIEW_S = 60.0
BAD_OPTION = re.compile(r'"--(?P<option>[\w-]+)" is not a valid option|is not a valid value for "--(?P<value>[\w-]+)"')

_refused_options: WeakKeyDictionary[CommandPool, set[str]] = WeakKeyDictionary()
"""Options that a server does not know; they are left out from then on."""

_old_labels: WeakSet[CommandPool] = WeakSet()
"""Servers before 2.6, which have an option for each label in place of ``--label``."""


async def post_review(pool: CommandPool, review: Review, *, first_tried_at: float | None = None) -> Delivery:
    """Post a review and tell what became of it.

    ``first_tried_at`` (seconds since the epoch) marks a repeat: then the change is read first, and a review of ours
    that has arrived meanwhile counts as delivered; so does a submit if it is merged.
    """
    try:
        if first_tried_at is not None and await _has_arrived(pool, review, first_tried_at):
            return Delivery(DeliveryOutcome.DELIVERED, "had arrived at an earlier try")
        return await _post(pool, review)
    except (NotSentError, OutcomeUnknownError, QueryFailedError) as problem:
        return Delivery(DeliveryOutcome.UNREACHABLE, str(problem))


async def _post(pool: CommandPool, review: Review) -> Delivery:
    async def attempt(left: Review) -> Refusal | None:
        pool.labels.sent(left.number, left.labels)
        command = command_of(_as_the_server_takes_it(pool, left), old_labels=pool in _old_labels)
        result = await pool.run(command, deadline_s=REVIEW_S, urgent=True)
        # Only the exit status tells that it failed; there may be text beside it.
        return None if result.exit_status == 0 else _judge(pool, left, result)

    return await deliver(review, attempt, pool.alert)


def _judge(pool: CommandPool, review: Review, result: CommandResult) -> Refusal:
    text = _first_reason(result)
    return Refusal(text, instead=review) if _learn(pool, review, result) else judge(review, text)


def _learn(pool: CommandPool, review: Review, result: CommandResult) -> bool:
    """Was it something that this server never takes, so that from now on it is not sent?"""
    if pool.learn_limit(result.stderr):
        return True
    option = BAD_OPTION.search(result.stderr)
    if option is None:
        return False
    if option["option"] == "label" and pool not in _old_labels:
        _old_labels.add(pool)
        return True
    name = option["option"] or option["value"]
    labels = {normal_label(each) for each, _ in review.labels} if pool in _old_labels else set()
    if name in {each for each, _ in review.options} | set(review.flags) | labels:
        _refused_options.setdefault(pool, set()).add(str(name))
        return True
    return False


def _first_reason(result: CommandResult) -> str:
    lines = [line.strip() for line in result.stderr.splitlines() if line.strip()]
    reasons = [line for line in lines if "one or more reviews failed" not in line]
    return " ".join(reasons) or f"exit status {result.exit_status} without a reason"


def _as_the_server_takes_it(pool: CommandPool, review: Review) -> Review:
    """Without the options that it refused, and not longer than it takes."""
    refused = _refused_options.get(pool, frozenset[str]())
    options = tuple(each for each in review.options if each[0] not in refused)
    flags = tuple(each for each in review.flags if each not in refused)
    labels = review.labels
    if pool in _old_labels:
        labels = tuple(each for each in labels if normal_label(each[0]) not in refused)
    return replace(review, message=pool.cut(review.message), labels=labels, options=options, flags=flags)


def command_of(review: Review, *, old_labels: bool = False) -> str:
    """The command line, as Gerrit's server splits it (gerrit-wire.md 6.1 and 6.2)."""
    return " ".join(_words(review, old_labels=old_labels))


def _words(review: Review, *, old_labels: bool) -> Iterator[str]:
    yield "gerrit review"
    yield f"--project {_quoted(review.project)}"
    if review.message:
        yield f"--message {_in_quotes(review.message)}"
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
    return _in_quotes(text)


def _in_quotes(text: str) -> str:
    return '"' + clean(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


async def _has_arrived(pool: CommandPool, review: Review, first_tried_at: float) -> bool:
    records = await query(pool, f"change:{review.number}", "--comments")
    if "submit" in review.flags and any(each.get("status") == MERGED for each in records):
        return True
    comments: list[JsonObject] = [each for record in records for each in record.get("comments") or ()]
    taken = _as_the_server_takes_it(pool, review)
    return any(
        (each.get("reviewer") or {}).get("username") == pool.settings.user
        and is_ours(taken, str(each.get("message", "")), float(each.get("timestamp", 0)), first_tried_at)
        for each in comments
    )
