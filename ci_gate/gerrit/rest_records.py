"""Changes as REST shows them, turned into rows as ``gerrit query`` prints them (gerrit-wire.md 9).

So everything that reads rows need not know which way they came.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ci_gate.gerrit.events import JsonObject

COMMIT_MESSAGE, MERGE_LIST = "/COMMIT_MSG", "/MERGE_LIST"
WHOLE_PATCH_SET = "/PATCHSET_LEVEL"
SUBMITTED = "SUBM"
CLOSED = ("MERGED", "ABANDONED")


def row_of(
    info: JsonObject, baseurl: str, *, related: Sequence[JsonObject] = (), comments: Mapping[str, Any] | None = None
) -> JsonObject:
    """A row. ``related`` and ``comments`` are the answers of the endpoints of those names.

    Raises AttributeError, KeyError, TypeError or ValueError for what makes no sense.
    """
    number, status, current = int(info["_number"]), str(info.get("status", "NEW")), info.get("current_revision")
    revisions = sorted(_revisions(info), key=lambda each: int(each[1]["_number"]))
    patch_sets = {sha: _patch_set(sha, each, comments or {}) for sha, each in revisions}
    row = {
        "project": info["project"],
        "branch": str(info["branch"]).removeprefix("refs/heads/"),
        "topic": info.get("topic"),
        "id": info.get("change_id"),
        "number": number,
        "owner": _account(info.get("owner")),
        "url": f"{baseurl}/c/{info['project']}/+/{number}",
        "hashtags": info.get("hashtags") or [],
        "status": status,
        "open": status not in CLOSED,
        "wip": bool(info.get("work_in_progress", False)),
        "private": bool(info.get("is_private", False)),
        "patchSets": list(patch_sets.values()),
        "submitRecords": info.get("submit_records") or _records_of_labels(info),
        "comments": [_message(each) for each in info.get("messages") or ()],
    }
    if current in patch_sets:
        commit = info["revisions"][current].get("commit") or {}
        patch_sets[current]["approvals"] = list(_approvals(info))
        row["currentPatchSet"] = patch_sets[current]
        row["commitMessage"] = commit.get("message", "")
        row |= _related(number, str(current), _parents(commit), related)
    return row


def seconds_of(date: str) -> int:
    """``2026-11-23 22:51:26.000000000``, which is UTC, in seconds since the epoch."""
    return int(datetime.strptime(date[:19], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp())


def is_own(message: JsonObject, user: str) -> bool:
    return bool((message.get("author") or {}).get("username") == user)


def _revisions(info: JsonObject) -> Iterator[tuple[str, JsonObject]]:
    """Without edits that are not published: these have no number."""
    for sha, each in (info.get("revisions") or {}).items():
        if str(each.get("_number", "")).isdecimal() and int(each["_number"]) > 0:
            yield sha, each


def _patch_set(sha: str, found: JsonObject, comments: Mapping[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "number": int(found["_number"]),
        "revision": sha,
        "ref": found["ref"],
        "createdOn": seconds_of(found["created"]) if "created" in found else 0,
        "uploader": _account(found.get("uploader")),
        "comments": [
            {"file": WHOLE_PATCH_SET, "reviewer": _account(each.get("author")), "message": each.get("message", "")}
            for each in sorted(comments.get(WHOLE_PATCH_SET) or (), key=lambda each: str(each.get("updated", "")))
            if each.get("patch_set") == found["_number"]
        ],
    }
    if "files" in found:
        row["files"] = [{"file": name} for name in _files(found)]
    return row


def _files(found: JsonObject) -> list[str]:
    """REST leaves out those that stand for the commit message, and for what a merge brings."""
    merges = len(_parents(found.get("commit") or {})) > 1
    magic = [COMMIT_MESSAGE, MERGE_LIST] if merges else [COMMIT_MESSAGE]
    return [*magic, *sorted(each for each in found["files"] if each not in magic)]


def _approvals(info: JsonObject) -> Iterator[JsonObject]:
    for label, votes in (info.get("labels") or {}).items():
        for each in votes.get("all") or ():
            if each.get("value"):
                vote: dict[str, Any] = {"type": label, "description": label, "value": str(each["value"])}
                if "date" in each:
                    vote["grantedOn"] = seconds_of(each["date"])
                yield vote | {"by": _account(each)}
    if info.get("status") == "MERGED" and "submitted" in info:
        at = seconds_of(info["submitted"])
        yield {"type": SUBMITTED, "value": "1", "grantedOn": at, "by": _account(info.get("submitter"))}


def _message(found: JsonObject) -> JsonObject:
    return {
        "timestamp": seconds_of(found["date"]),
        "reviewer": _account(found.get("author")),
        "message": found.get("message", ""),
    }


def _related(number: int, current: str, parents: Iterable[str], related: Iterable[JsonObject]) -> dict[str, Any]:
    below, above, known = [], [], set(parents)
    for each in related:
        commit = each.get("commit") or {}
        if each.get("_change_number") in (None, number):
            continue
        if commit.get("commit") in known:
            below.append(_neighbour(each))
        elif current in _parents(commit):
            above.append(_neighbour(each))
    return {"dependsOn": below, "neededBy": above}


def _neighbour(found: JsonObject) -> JsonObject:
    number, patch_set = int(found["_change_number"]), int(found["_revision_number"])
    return {
        "id": found.get("change_id"),
        "number": number,
        "revision": found["commit"]["commit"],
        "ref": f"refs/changes/{number % 100:02}/{number}/{patch_set}",
        "isCurrentPatchSet": patch_set == found.get("_current_revision_number"),
    }


def _parents(commit: JsonObject) -> list[str]:
    return [str(each["commit"]) for each in commit.get("parents") or ()]


def _records_of_labels(info: JsonObject) -> list[JsonObject]:
    """What servers before 3.5 show in the place of submit records: who approved and who blocks, label by label."""
    if "submittable" not in info or info.get("status") in CLOSED:
        return []
    labels = [{"label": name, "status": _label_status(each)} for name, each in (info.get("labels") or {}).items()]
    return [{"status": "OK" if info["submittable"] else "NOT_READY", "labels": labels}]


def _label_status(found: JsonObject) -> str:
    if "rejected" in found and found.get("blocking", True):
        return "REJECT"
    if "approved" in found:
        return "OK"
    return "MAY" if found.get("optional") else "NEED"


def _account(found: JsonObject | None) -> JsonObject:
    return {name: found[name] for name in ("name", "email", "username") if name in found} if found else {}
