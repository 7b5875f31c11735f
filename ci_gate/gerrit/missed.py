"""What happened to changes, out of a query for those that were updated: the events that a stream would have brought.

Queries do not show events. They show patch sets with their times, messages, and how a change was submitted; what is
made of these is what layouts trigger on (gerrit-wire.md 10, 3.5).
"""

from __future__ import annotations

import math
import re
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from typing import Any

import structlog

from ci_gate.config.settings import GerritSettings
from ci_gate.gerrit.events import JsonObject, account_of, project_name
from ci_gate.gerrit.query import SAFE_VALUE, Ask
from ci_gate.model.change import Account, Vote, decimal_text
from ci_gate.model.event import Event

OPTIONS = "--comments --current-patch-set --patch-sets --all-approvals"
MARGIN_MIN = 2  # between Gerrit's clock and ours, and for what its index shows late
LONGEST_TERMS = 4000  # characters of projects in one query
COMMENT = re.compile(r"Patch Set (?P<patchset>\d+):(?P<votes>(?: (?:-[\w-]+(?!\S)|[\w-]+[+-]\d+))*)(?=\n|$)")
VOTE = re.compile(r" (?:(?P<label>[\w-]+)(?P<value>[+-]\d+)|-(?P<removed>[\w-]+))(?= |$)")
NOTES = (
    (re.compile(r"Abandoned(?=\n|$)"), "change-abandoned"),
    (re.compile(r"Restored(?=\n|$)"), "change-restored"),
    (re.compile(r"Set (?:Work In Progress|Ready For Review)(?=\n|$)"), "wip-state-changed"),
    (re.compile(r"(?:Set|Unset) private(?=\n|$)"), "private-state-changed"),
)
SUBMITTED = "SUBM"
WHOLE_PATCH_SET = "/PATCHSET_LEVEL"
COUNT_OF_COMMENTS = re.compile(r"\n\n\(\d+ comments?\)\s*$")

log = structlog.stdlib.get_logger("zuul.GerritConnection")


async def updated_changes(ask: Ask, projects: Sequence[str], since_s: float) -> AsyncIterator[JsonObject]:
    """Records of all changes of some projects that were updated in the last ``since_s`` seconds, each once.

    Raises QueryFailedError; what was given before stays true.
    """
    age = f"-age:{math.ceil(since_s / 60) + MARGIN_MIN}m"
    given: set[str] = set()
    for terms in _batches(projects):
        seen_rows, resumed = 0, ""
        while True:
            page = await ask(f"({terms}) {age}{resumed}", 0 if resumed else seen_rows)
            fresh = [each for each in page if decimal_text(each["number"]) not in given]
            given.update(decimal_text(each["number"]) for each in fresh)
            for record in fresh:
                yield record
            seen_rows += len(page)
            # Offsets are no snapshot: a page that adds nothing is the end, whatever Gerrit says (4.3).
            resumed = page.resumed
            if not fresh or not (page.more or resumed):
                break


def _batches(projects: Sequence[str]) -> Iterator[str]:
    terms: list[str] = []
    for project in projects:
        if not SAFE_VALUE.fullmatch(project):
            log.warning("no missed events are looked for in a project of that name", project=project)
            continue
        if terms and sum(map(len, terms)) + len(project) > LONGEST_TERMS:
            yield " OR ".join(terms)
            terms = []
        terms.append(f"project:{{{project}}}")
    if terms:
        yield " OR ".join(terms)


def events_of(record: JsonObject, since: float, settings: GerritSettings) -> list[Event]:
    """What happened to a change from ``since`` on (Gerrit's clock), in order. Raises ValueError for nonsense."""
    try:
        change = _Record(record, settings)
        found = [*change.uploads(since), *change.notes(since), *change.submit(since)]
    except (AttributeError, KeyError, TypeError, ValueError) as problem:
        raise ValueError(f"a change that makes no sense: {type(problem).__name__}: {problem}") from problem
    return sorted(found, key=lambda event: event.created_on or 0)


def published_patch_set(record: JsonObject, settings: GerritSettings, *, at: int) -> tuple[bool, Event | None]:
    """Is the current patch set a draft, and the event of its publication at that time; None without a patch set.

    Queries do not say when a draft was published, so that somebody has to remember that it was one.
    """
    try:
        current: JsonObject = record.get("currentPatchSet") or {}
        if not current:
            return False, None
        who = account_of(current.get("uploader"))
        event = _Record(record, settings).event("draft-published", decimal_text(current["number"]), who, at)
        return bool(current.get("isDraft")) or record.get("status") == "DRAFT", event
    except (AttributeError, KeyError, TypeError, ValueError):
        return False, None


class _Record:
    """One row of the answer."""

    def __init__(self, record: JsonObject, settings: GerritSettings) -> None:
        self._record = record
        self._current: JsonObject = record.get("currentPatchSet") or {}
        known = [*(record.get("patchSets") or ()), *([self._current] if self._current else [])]
        self._patch_sets: dict[str, JsonObject] = {decimal_text(each["number"]): each for each in known}
        self._common: dict[str, Any] = {
            "connection": settings.name,
            "project": project_name(record["project"]),
            "branch": record.get("branch"),
            "number": decimal_text(record["number"]),
            "change_url": record.get("url"),
            "change_id": record.get("id"),
            "caught_up": True,
        }

    def uploads(self, since: float) -> Iterator[Event]:
        """The current patch set: those before it are outdated, and what they started would be stopped at once."""
        if self._current and self._current.get("createdOn", 0) >= since:
            number, at = decimal_text(self._current["number"]), int(self._current["createdOn"])
            yield self.event("patchset-created", number, account_of(self._current.get("uploader")), at)

    def notes(self, since: float) -> Iterator[Event]:
        """Comments, and what else leaves a message."""
        votes: dict[tuple[object, str], dict[str, int]] = defaultdict(dict)
        apart = self._texts_kept_apart()
        for message in self._record.get("comments") or ():
            text, at = str(message.get("message", "")), int(message.get("timestamp", 0))
            who = account_of(message.get("reviewer"))
            comment = COMMENT.match(text)
            if comment is not None:
                patchset = decimal_text(comment["patchset"])
                standing = votes[who, patchset]
                standing.update(_votes_in(comment["votes"]))
                text = self._with_text(text, who, patchset, apart)
                if at >= since:
                    given = self._votes_of(who, patchset, at) | standing
                    event = self.event("comment-added", patchset, who, at, comment=text)
                    yield replace(event, votes=tuple(Vote(label, value) for label, value in given.items()))
            elif at >= since:
                kind = next((kind for pattern, kind in NOTES if pattern.match(text)), None)
                if kind is not None:
                    yield self.event(kind, self._patchset_at(at), who, at)

    def submit(self, since: float) -> Iterator[Event]:
        if self._record.get("status") != "MERGED":
            return
        for each in self._current.get("approvals") or ():
            if each.get("type") == SUBMITTED and int(each.get("grantedOn") or 0) >= since:
                number, at = decimal_text(self._current["number"]), int(each["grantedOn"])
                yield self.event("change-merged", number, account_of(each.get("by")), at)

    def _votes_of(self, who: Account | None, patchset: str, at: int) -> dict[str, int]:
        """What somebody's votes on a patch set were by then, as far as they still stand (copied ones too)."""
        approvals = self._patch_sets.get(patchset, {}).get("approvals") or ()
        found = [each for each in approvals if each.get("type") != SUBMITTED and account_of(each.get("by")) == who]
        return {
            str(each.get("description") or each.get("type")): int(each.get("value") or 0)
            for each in found
            if (each.get("grantedOn") or 0) <= at
        }

    def _texts_kept_apart(self) -> dict[tuple[object, str], deque[str]]:
        """Comments on a patch set as a whole, by their authors: Gerrit's web page keeps them apart from messages."""
        found: dict[tuple[object, str], deque[str]] = defaultdict(deque)
        for number, patch_set in self._patch_sets.items():
            for each in patch_set.get("comments") or ():
                if each.get("file") == WHOLE_PATCH_SET:
                    found[account_of(each.get("reviewer")), number].append(str(each.get("message", "")))
        return found

    def _with_text(
        self, text: str, who: Account | None, patchset: str, apart: dict[tuple[object, str], deque[str]]
    ) -> str:
        """As the stream gives it: queries do not date these comments, so they go to messages in their order."""
        waiting, count = apart.get((who, patchset)), COUNT_OF_COMMENTS.search(text)
        return f"{text[: count.start()]}\n\n{waiting.popleft()}" if waiting and count else text

    def _patchset_at(self, at: int) -> str | None:
        """The newest one of that time."""
        numbers = [number for number, each in self._patch_sets.items() if each.get("createdOn", 0) <= at]
        return max(numbers, key=int, default=None)

    def event(
        self, kind: str, patchset: str | None, who: Account | None, at: int, *, comment: str | None = None
    ) -> Event:
        ref = self._patch_sets.get(patchset or "", {}).get("ref")
        return Event(kind, patchset=patchset, refspec=ref, account=who, created_on=at, comment=comment, **self._common)


def _votes_in(header: str) -> dict[str, int]:
    """What a message's first line says of votes: ``Code-Review+2``, or ``-Verified`` for one taken back."""
    found = {}
    for each in VOTE.finditer(header):
        found[each["label"] or each["removed"]] = int(each["value"] or 0)
    return found
