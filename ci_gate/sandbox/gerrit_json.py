"""How the simulated Gerrit writes its values as JSON: stream events and query rows, in 3.13's shape and key order.

Source: gerrit-wire.md 3 and 4, and the recorded samples of 3.13.0 that they stand on. Called by whatever changes
the site (events) and by queries. Knows no state: what to tell is given.
"""

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ci_gate.sandbox.gerrit_values import Change, Identity, Message, PatchSet, SiteSettings, Vote

Json = dict[str, Any]

# Gson writes these five as escapes, wherever they stand; in JSON they stand only within strings.
_ESCAPES = {ord(character): f"\\u{ord(character):04x}" for character in "<>&='"}


def line(value: Json) -> bytes:
    """One object on one line, newline included, as it goes over the wire."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).translate(_ESCAPES)
    return text.encode() + b"\n"


@dataclass(frozen=True, slots=True)
class QueryOptions:
    """The options of `gerrit query` that add to a row (gerrit-wire.md 4.1)."""

    all_approvals: bool = False
    all_reviewers: bool = False
    comments: bool = False
    commit_message: bool = False
    current_patch_set: bool = False
    dependencies: bool = False
    files: bool = False
    patch_sets: bool = False
    submit_records: bool = False


@dataclass(frozen=True, slots=True)
class Shapes:
    """The JSON of one server, made to its settings."""

    settings: SiteSettings

    # -- events ----------------------------------------------------------------------------------

    def patchset_created(self, change: Change) -> Json:
        """A new change or a new patch set of one."""
        return self._change_event("patchset-created", {"uploader": person(change.current.uploader)}, change)

    def comment_added(self, change: Change, patch_set: PatchSet, message: Message, before: PatchSet) -> Json:
        """A message, and its author's votes on that patch set for all labels; `before` is how it was until then."""
        approvals = []
        for label in self.settings.labels:
            value, old = patch_set.value(label.name, message.by), before.value(label.name, message.by)
            approval = {"type": label.name, "description": label.name, "value": str(value)}
            approvals.append(approval if value == old else approval | {"oldValue": str(old)})
        who = {"author": person(message.by), "approvals": approvals, "comment": message.text}
        return self._change_event("comment-added", who, change, patch_set)

    def change_abandoned(self, change: Change, by: Identity, reason: str) -> Json:
        """The change was abandoned; `reason` is left out when nobody gave one."""
        return self._change_event("change-abandoned", {"abandoner": person(by)} | _reason(reason), change)

    def change_restored(self, change: Change, by: Identity, reason: str) -> Json:
        """The change was opened again."""
        return self._change_event("change-restored", {"restorer": person(by)} | _reason(reason), change)

    def change_merged(self, change: Change, by: Identity, new_revision: str) -> Json:
        """The change is in its branch, whose tip is now `new_revision`."""
        return self._change_event("change-merged", {"submitter": person(by), "newRev": new_revision}, change)

    def topic_changed(self, change: Change, by: Identity, old_topic: str) -> Json:
        """The topic was set; that event has no patch set."""
        return self._event("topic-changed", {"changer": person(by), "oldTopic": old_topic} | self._change_part(change))

    def wip_state_changed(self, change: Change, by: Identity) -> Json:
        """The button was pressed; `change.wip` is missing when the change became ready."""
        return self._change_event("wip-state-changed", {"changer": person(by)}, change)

    def ref_updated(self, project: str, ref: str, old: str, new: str, by: Identity) -> Json:
        """Any reference was created, moved or deleted."""
        update = {"oldRev": old, "newRev": new, "refName": ref, "project": project}
        return self._event("ref-updated", {"submitter": person(by), "refUpdate": update})

    def project_created(self, project: str, head: str) -> Json:
        """A project was made, whose HEAD names the reference `head`."""
        return self._event("project-created", {"projectName": project, "headName": head})

    def _change_event(self, kind: str, first: Json, change: Change, patch_set: PatchSet | None = None) -> Json:
        shown = {"patchSet": self._patch_set(patch_set or change.current)}
        return self._event(kind, first | shown | self._change_part(change))

    def _change_part(self, change: Change) -> Json:
        return {
            "change": self._change(change, {"commitMessage": change.current.commit.message}, {}),
            "project": change.project,
            "refName": _full_branch(change.branch),
            "changeKey": {"id": change.change_id},
        }

    def _event(self, kind: str, body: Json) -> Json:
        event = body | {"type": kind, "eventCreatedOn": int(time.time())}
        if self.settings.instance_id is not None:
            event["instanceId"] = self.settings.instance_id
        return event

    # -- query rows ------------------------------------------------------------------------------

    def row(self, change: Change, options: QueryOptions, everything: Sequence[Change]) -> Json:
        """One change as a query answers it; `everything` is where dependencies are looked for."""
        message = {"commitMessage": change.current.commit.message} if options.commit_message else {}
        updated = {"lastUpdated": change.last_updated, "open": change.is_open}
        row = self._change(change, message | {"hashtags": []}, updated)
        if options.comments:
            row["comments"] = [
                {"timestamp": message.at, "reviewer": person(message.by), "message": message.text}
                for message in change.messages
            ]
        if options.current_patch_set:
            row["currentPatchSet"] = self._patch_set_row(change, change.current, options.files, votes=True)
        if options.patch_sets or options.all_approvals:
            row["patchSets"] = [
                self._patch_set_row(change, patch_set, options.files, votes=options.all_approvals)
                for patch_set in change.patch_sets
            ]
        if options.dependencies:
            row |= self._dependencies(change, everything)
        if options.submit_records:
            row["submitRecords"] = [self._submit_record(change)]
        if options.all_reviewers and (reviewers := _reviewers(change)):
            row["allReviewers"] = [person(who) for who in reviewers]
        return row

    def stats(self, rows: int, started: float, *, more: bool) -> Json:
        """The last row; `started` is a `time.monotonic()`."""
        spent = int((time.monotonic() - started) * 1000)
        return {"type": "stats", "rowCount": rows, "runTimeMilliseconds": spent, "moreChanges": more}

    def _patch_set_row(self, change: Change, patch_set: PatchSet, files: bool, *, votes: bool) -> Json:
        row = self._patch_set(patch_set)
        sizes = {key: row.pop(key) for key in ("sizeInsertions", "sizeDeletions")}
        approvals = [*self._submission(change, patch_set), *map(approval, patch_set.votes)] if votes else []
        if approvals:
            row["approvals"] = approvals
        if files:
            row["files"] = [
                {"file": file.path}
                | ({"fileOld": file.old_path} if file.old_path else {})
                | {"type": file.kind, "insertions": file.insertions, "deletions": file.deletions}
                for file in patch_set.commit.files
            ]
        return row | sizes

    def _submission(self, change: Change, patch_set: PatchSet) -> Iterable[Json]:
        """The approval that only a merged change has; it is no vote and has no description (gerrit-wire.md 3.4)."""
        if change.submitter is not None and patch_set is change.current:
            yield {"type": "SUBM", "value": "1", "grantedOn": change.submitted_on, "by": person(change.submitter)}

    def _dependencies(self, change: Change, everything: Sequence[Change]) -> Json:
        needs, needed_by = [], []
        for other in everything:
            for patch_set in other.patch_sets:
                entry = {
                    "id": other.change_id,
                    "number": self._number(other.number),
                    "revision": patch_set.revision,
                    "ref": patch_set.ref,
                }
                if other.project == change.project and patch_set.revision in change.current.commit.parents:
                    needs.append(entry | {"isCurrentPatchSet": patch_set is other.current})
                if other.project == change.project and change.current.revision in patch_set.commit.parents:
                    needed_by.append(entry)
        return ({"dependsOn": needs} if needs else {}) | ({"neededBy": needed_by} if needed_by else {})

    def _submit_record(self, change: Change) -> Json:
        """What 3.13 says of every change: submit requirements decide there, and this does not show them."""
        labels = []
        for name in sorted(label.name for label in self.settings.labels):
            last = next((vote for vote in reversed(change.current.votes) if vote.label == name), None)
            labels.append({"label": name, "status": "MAY"} | ({"by": person(last.by)} if last else {}))
        return {"status": "OK", "labels": labels}

    # -- parts -----------------------------------------------------------------------------------

    def _change(self, change: Change, after_url: Json, after_created: Json) -> Json:
        attributes: Json = {"project": change.project, "branch": change.branch}
        if change.topic:
            attributes["topic"] = change.topic
        attributes |= {
            "id": change.change_id,
            "number": self._number(change.number),
            "subject": change.current.commit.subject,
            "owner": person(change.owner),
            "url": self.url(change),
        }
        attributes |= after_url | {"createdOn": change.created_on} | after_created | {"status": change.status}
        return attributes | ({"wip": True} if change.wip else {})

    def _patch_set(self, patch_set: PatchSet) -> Json:
        commit = patch_set.commit
        return {
            "number": self._number(patch_set.number),
            "revision": commit.revision,
            "parents": list(commit.parents),
            "ref": patch_set.ref,
            "uploader": person(patch_set.uploader),
            "createdOn": patch_set.created_on,
            "author": person(commit.author),
            "kind": patch_set.kind,
            "sizeInsertions": sum(file.insertions for file in commit.files),
            "sizeDeletions": sum(file.deletions for file in commit.files),
        }

    def url(self, change: Change) -> str:
        """The change's address."""
        return f"{self.settings.base_url}/c/{change.project}/+/{change.number}"

    def _number(self, number: int) -> int | str:
        return str(number) if self.settings.numbers_as_text else number


def person(who: Identity) -> Json:
    """An account, or an author who has none."""
    return {"name": who.name, "email": who.email} | ({"username": who.username} if who.username else {})


def approval(vote: Vote) -> Json:
    """A vote as queries show it; its value is text in every version."""
    return {
        "type": vote.label,
        "description": vote.label,
        "value": str(vote.value),
        "grantedOn": vote.granted_on,
        "by": person(vote.by),
    }


def _full_branch(branch: str) -> str:
    return branch if branch.startswith("refs/") else f"refs/heads/{branch}"


def _reason(reason: str) -> Json:
    return {"reason": reason} if reason else {}


def _reviewers(change: Change) -> list[Identity]:
    """Everybody but the owner who commented or voted, once each."""
    votes = [vote.by for patch_set in change.patch_sets for vote in patch_set.votes]
    return [who for who in dict.fromkeys([message.by for message in change.messages] + votes) if who != change.owner]
