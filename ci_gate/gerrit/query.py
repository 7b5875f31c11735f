"""``gerrit query``, and its rows as values (gerrit-wire.md 4)."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from ci_gate.gerrit.batching import Batching
from ci_gate.gerrit.commands import CommandPool, CommandResult, NotSentError, OutcomeUnknownError
from ci_gate.gerrit.events import account_of, project_name, votes_of
from ci_gate.model.change import (
    ChangeDetails,
    PatchSet,
    RelatedChange,
    SubmitLabel,
    SubmitRecord,
    decimal_text,
)
from ci_gate.model.search import Search, SearchKind

QUERY_S = 30.0
OPTIONS = "--all-approvals --commit-message --current-patch-set --dependencies --files --patch-sets --submit-records"
SUBMIT_REQUIREMENTS_SINCE = (3, 5)
VERSION = re.compile(r"(\d+)\.(\d+)")
SAFE_VALUE = re.compile(r"[A-Za-z0-9_./@+~-]+")
PERMANENT = ("unsupported", "unknown operator", "no such operator")

JsonObject = Mapping[str, Any]

_versions: WeakKeyDictionary[CommandPool, tuple[int, int]] = WeakKeyDictionary()
"""What servers said of themselves, for as long as the service runs."""


class QueryFailedError(Exception):
    """Gerrit gave no answer, or an error in place of one. ``transient``: asking again may help."""

    def __init__(self, text: str, *, transient: bool) -> None:
        super().__init__(text)
        self.transient = transient


Ask = Callable[[str, int], Awaitable["Page"]]
"""The records that terms find, from that many on."""


async def query_change(pool: CommandPool, number: str) -> ChangeDetails | None:
    """All that Gerrit tells of a change; None if it knows no such change. Raises QueryFailedError."""
    record = await _one(pool, OPTIONS).record_of(decimal_text(number))
    return understood(record, pool.settings.name) if record is not None else None


async def is_submittable(pool: CommandPool, number: str) -> bool:
    """Would Gerrit submit it? No if it cannot tell. Raises QueryFailedError."""
    try:
        return await _one(pool, "", " is:submittable").record_of(decimal_text(number)) is not None
    except QueryFailedError as problem:
        if problem.transient:
            raise
        return False  # an operator that it does not know says nothing


def _one(pool: CommandPool, options: str, besides: str = "") -> Batching:
    """A change that does not fulfil what is asked ``besides`` is no surprise; one that is not there at all is."""

    async def ask(terms: Callable[[], str]) -> tuple[list[JsonObject], bool]:
        page = await query(pool, lambda: terms() + besides, options)
        return page, page.more

    return pool.batchings.setdefault((options, besides), Batching(ask, sure=not besides))


async def search_changes(pool: CommandPool, search: Search) -> tuple[ChangeDetails, ...]:
    """All that Gerrit tells of the changes that a search finds, in its order. Raises QueryFailedError."""

    async def ask(terms: str, start: int) -> Page:
        return await query(pool, terms, f"{OPTIONS} --start {start}" if start else OPTIONS)

    return await search_all(ask, terms_of(search), pool.settings.name)


async def submittable_changes(pool: CommandPool, terms: str) -> set[str]:
    """Numbers of the changes that Gerrit would submit, of those that terms find; none if it cannot tell."""
    try:
        records = await query(pool, f"{terms} is:submittable", "")
    except QueryFailedError as problem:
        if problem.transient:
            raise
        return set()  # an operator that it does not know says nothing
    return {decimal_text(each["number"]) for each in records}


async def records_decide(pool: CommandPool) -> bool:
    """Is the server older than submit requirements? What cannot be told counts as newer. Raises QueryFailedError."""
    known = _versions.get(pool)
    if known is None:
        try:
            result = await pool.run("gerrit version", deadline_s=QUERY_S, repeatable=True)
        except (NotSentError, OutcomeUnknownError) as problem:
            raise QueryFailedError(str(problem), transient=True) from problem
        known = version_of(result.stdout if result.exit_status == 0 else "")
        _versions[pool] = known
    return known < SUBMIT_REQUIREMENTS_SINCE


def version_of(text: str) -> tuple[int, int]:
    """What cannot be read counts as new."""
    numbers = VERSION.search(text)
    return (int(numbers[1]), int(numbers[2])) if numbers else SUBMIT_REQUIREMENTS_SINCE


async def search_all(ask: Ask, terms: str, connection: str) -> tuple[ChangeDetails, ...]:
    """Page by page. Raises QueryFailedError."""
    found: dict[str, ChangeDetails] = {}
    resumed = ""
    while True:
        page = await ask(terms + resumed, 0 if resumed else len(found))
        known = len(found)
        for record in page:
            details = understood(record, connection)
            found.setdefault(details.number, details)
        # Offsets are no snapshot: a page that adds nothing is the end, whatever Gerrit says (4.3).
        resumed = page.resumed
        if len(found) == known or not (page.more or resumed):
            return tuple(found.values())


def terms_of_change(number: str) -> str:
    return f"change:{decimal_text(number)}"


def terms_of(search: Search) -> str:
    """Raises QueryFailedError for a value that cannot be asked for."""
    if not SAFE_VALUE.fullmatch(search.value):
        raise QueryFailedError(f"{search.value!r} cannot be part of a query", transient=False)
    match search.kind:
        case SearchKind.CHANGE_ID:
            return f"change:{search.value}"
        case SearchKind.MENTIONS:
            return f"message:{search.value}"
        case SearchKind.MENTIONS_ADDRESS:
            number = search.value.rpartition("/")[2]
            return f"(message:{{/c/{search.value}}} OR message:{{/c/{number}}})"
        case SearchKind.OPEN_IN_PROJECT:
            return f"project:{{{search.value}}} status:open"


def understood(record: JsonObject, connection: str) -> ChangeDetails:
    """Raises QueryFailedError for a record that makes no sense."""
    try:
        return details_of(record, connection)
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as problem:
        reason = f"an answer that makes no sense: {type(problem).__name__}: {problem}"
        raise QueryFailedError(reason, transient=True) from problem


class Page(list[JsonObject]):
    """The records of one answer; ``more``: Gerrit says that there are others.

    ``resumed`` are terms to add for those that follow, where it cannot say so: before 2.9.
    """

    more: bool = False
    resumed: str = ""


async def query(pool: CommandPool, terms: str | Callable[[], str], options: str) -> Page:
    """The records that a query finds. ``terms`` must not hold single quotes. Raises QueryFailedError."""

    def command() -> str:
        # One argument in single quotes: a word of its own that begins with - would be taken for an option.
        words = ("gerrit query --format json", options, f"'{terms if isinstance(terms, str) else terms()}'")
        return " ".join(filter(None, words))

    try:
        result = await pool.run(command, deadline_s=QUERY_S, repeatable=True)
    except (NotSentError, OutcomeUnknownError) as problem:
        raise QueryFailedError(str(problem), transient=True) from problem
    return _records(result)


def _records(result: CommandResult) -> Page:
    """Change records, then exactly one of statistics; without that one the answer is not whole."""
    if result.exit_status != 0:
        text = result.stderr.strip() or f"exit status {result.exit_status}"
        raise QueryFailedError(text, transient=not _is_permanent(text))
    try:
        records = [json.loads(line) for line in result.stdout.split("\n") if line.strip()]
    except ValueError as problem:
        raise QueryFailedError(f"an answer that is not JSON: {problem}", transient=True) from problem
    errors = [each for each in records if each.get("type") == "error"]
    if errors:  # with exit status 0
        text = str(errors[0].get("message", "no reason given"))
        raise QueryFailedError(text, transient=not _is_permanent(text))
    if not records or records[-1].get("type") != "stats":
        raise QueryFailedError("an answer that ends early", transient=True)
    page = Page(each for each in records if "project" in each)
    page.more = bool(records[-1].get("moreChanges", False))
    last = str(page[-1].get("sortKey", "")) if page and "moreChanges" not in records[-1] else ""
    page.resumed = f" resume_sortkey:{last}" if SAFE_VALUE.fullmatch(last) else ""
    return page


def _is_permanent(text: str) -> bool:
    return any(fragment in text.lower() for fragment in PERMANENT)


def details_of(record: JsonObject, connection: str) -> ChangeDetails:
    """Raises KeyError, TypeError or ValueError for a record that makes no sense."""
    current = record.get("currentPatchSet") or {}
    status = str(record.get("status", "NEW"))
    project = project_name(record["project"])
    if project is None:
        raise ValueError("a change without a project")
    return ChangeDetails(
        connection=connection,
        number=decimal_text(record["number"]),
        project=project,
        branch=str(record["branch"]),
        url=record.get("url"),
        change_id=record.get("id"),
        owner=account_of(record.get("owner")),
        status=status,
        is_open=bool(record.get("open", status not in ("MERGED", "ABANDONED"))),
        wip=bool(record.get("wip", False)),
        private=bool(record.get("private", False)),
        topic=record.get("topic"),
        hashtags=tuple(str(each) for each in record.get("hashtags") or ()),
        commit_message=str(record.get("commitMessage", "")),
        patch_sets=tuple(_patch_sets(record.get("patchSets") or (), current)),
        votes=tuple(votes_of(current.get("approvals") or ())),
        depends_on=tuple(_related(record.get("dependsOn") or ())),
        needed_by=tuple(_related(record.get("neededBy") or ())),
        submit_records=tuple(_submit_records(record.get("submitRecords") or ())),
    )


def _patch_sets(found: Iterable[JsonObject], current: JsonObject) -> list[PatchSet]:
    """In ascending order; the current one as well if the list does not have it."""
    by_number = {}
    for each in [*found, *([current] if current else [])]:
        number = decimal_text(each["number"])
        if number not in by_number:
            files = tuple(str(entry["file"]) for entry in each.get("files") or ())
            by_number[number] = PatchSet(number, str(each["ref"]), str(each["revision"]), files)
    return sorted(by_number.values(), key=lambda each: int(each.number))


def _related(found: Iterable[JsonObject]) -> list[RelatedChange]:
    """Numbers are in the ref, ``refs/changes/NN/number/patchset``; a merge lists several parents."""
    related = []
    for each in found:
        parts = str(each.get("ref", "")).split("/")
        if len(parts) == 5:
            number, patchset = decimal_text(parts[3]), decimal_text(parts[4])
            related.append(RelatedChange(number, patchset, bool(each.get("isCurrentPatchSet", True))))
    return related


def _submit_records(found: Iterable[JsonObject]) -> list[SubmitRecord]:
    return [
        SubmitRecord(
            str(each.get("status", "")),
            tuple(SubmitLabel(str(label["label"]), str(label.get("status", ""))) for label in each.get("labels") or ()),
        )
        for each in found
    ]
