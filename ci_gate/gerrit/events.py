"""Event lines of Gerrit to values (gerrit-wire.md 3). Every field may be missing; numbers may be text or integers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ci_gate.config.settings import GerritSettings
from ci_gate.model.change import Account, Vote, decimal_text
from ci_gate.model.event import Event

JsonObject = Mapping[str, Any]

ACCOUNT_FIELDS = {
    "patchset-created": "uploader",
    "draft-published": "uploader",
    "change-abandoned": "abandoner",
    "change-restored": "restorer",
    "change-merged": "submitter",
    "merge-failed": "submitter",
    "comment-added": "author",
    "ref-updated": "submitter",
    "reviewer-added": "reviewer",
    "reviewer-deleted": "remover",
    "vote-deleted": "remover",
    "topic-changed": "changer",
    "hashtags-changed": "editor",
    "custom-keyed-values-changed": "editor",
    "assignee-changed": "changer",
    "wip-state-changed": "changer",
    "private-state-changed": "changer",
    "change-deleted": "deleter",
}
"""Event types of changes and refs, and which field is the account that filters on people ask for."""

OTHER_TYPES = frozenset(
    {
        "batch-ref-updated",
        "project-created",
        "project-head-updated",
        "dropped-output",
        "ref-replicated",
        "ref-replication-done",
        "ref-replication-scheduled",
    }
)
"""Known types that name neither a change nor a single ref."""

LOCAL_BRANCHES = "refs/heads/"


class BadLineError(ValueError):
    """A line of the stream is not a JSON object with a type."""


def parse_line(line: str) -> JsonObject:
    """Raises BadLineError."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as problem:
        raise BadLineError(str(problem)) from problem
    if not isinstance(found, dict) or not isinstance(found.get("type"), str):
        raise BadLineError("not an object with a type")
    return found


def is_known(event_type: str) -> bool:
    return event_type in ACCOUNT_FIELDS or event_type in OTHER_TYPES


def event_of(found: JsonObject, settings: GerritSettings) -> Event | None:
    """The event, or None if it is of a type that triggers nothing. Raises BadLineError for impossible fields."""
    event_type = str(found["type"])
    if event_type not in ACCOUNT_FIELDS:
        return None
    try:
        if event_type == "ref-updated":
            return _ref_event(found, settings)
        return _change_event(event_type, found, settings)
    except (AttributeError, KeyError, TypeError, ValueError) as problem:
        raise BadLineError(f"{event_type}: {type(problem).__name__}: {problem}") from problem


def _change_event(event_type: str, found: JsonObject, settings: GerritSettings) -> Event:
    change: JsonObject = found["change"]
    patch_set: JsonObject = found.get("patchSet") or {}
    return Event(
        type=event_type,
        connection=settings.name,
        project=project_name(change.get("project")),
        branch=change.get("branch"),
        number=decimal_text(change["number"]),
        patchset=decimal_text(patch_set["number"]) if "number" in patch_set else None,
        refspec=patch_set.get("ref"),
        change_url=change.get("url"),
        account=account_of(found.get(ACCOUNT_FIELDS[event_type])),
        votes=tuple(votes_of(found.get("approvals") or ())),
        comment=found.get("comment"),
        created_on=found.get("eventCreatedOn"),
        change_id=change.get("id"),
    )


def _ref_event(found: JsonObject, settings: GerritSettings) -> Event:
    update: JsonObject = found["refUpdate"]
    project, ref, newrev = project_name(update["project"]), str(update["refName"]), str(update["newRev"])
    if settings.strip_branch_ref:
        ref = ref.removeprefix(LOCAL_BRANCHES)
    return Event(
        type="ref-updated",
        connection=settings.name,
        project=project,
        ref=ref,
        oldrev=str(update["oldRev"]),
        newrev=newrev,
        ref_url=settings.commit_url(str(project), newrev),
        account=account_of(found.get("submitter")),
        created_on=found.get("eventCreatedOn"),
    )


def project_name(found: object) -> str | None:
    """Gerrit writes a text; some versions wrote ``{"name": …}``."""
    if isinstance(found, dict):
        found = found.get("name")
    return found if isinstance(found, str) else None


def account_of(found: JsonObject | None) -> Account | None:
    if not found:
        return None
    return Account(found.get("name"), found.get("email"), found.get("username"))


def votes_of(found: object) -> list[Vote]:
    """Approvals as votes: the label is the description, else the type. ``SUBM`` is no vote (gerrit-wire.md 3.4)."""
    votes = []
    for each in found if isinstance(found, list | tuple) else ():
        label = each.get("description") or each.get("type")
        if not label or label == "SUBM":
            continue
        granted = each.get("grantedOn")
        votes.append(
            Vote(
                str(label),
                int(each.get("value") or 0),
                account_of(each.get("by")),
                float(granted) if granted is not None else None,
            )
        )
    return votes
