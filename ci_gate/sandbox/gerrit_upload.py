"""Uploads to the simulated Gerrit: what a push to `refs/for/BRANCH` makes of the commits it brings.

Called for real pushes and by the Python surface alike. Each commit that no branch has becomes a change, or a new
patch set of the change with its Change-Id; either all are taken or none. The answers are Gerrit's documented ones.
"""

import re
import time
from dataclasses import dataclass, replace

from ci_gate.sandbox.gerrit_git import Repository
from ci_gate.sandbox.gerrit_site import Site
from ci_gate.sandbox.gerrit_values import (
    ZERO,
    Change,
    Commit,
    Identity,
    Kind,
    Message,
    PatchSet,
    RefusedError,
    ref_prefix,
)

_CHANGE_ID = re.compile(r"I[0-9a-f]{40}")
_KIND_WORDS = {"NO_CODE_CHANGE": ": Commit message was updated.", "TRIVIAL_REBASE": ": Patch Set {} was rebased."}


@dataclass(frozen=True, slots=True)
class Target:
    """What is behind `refs/for/`: a branch and options; `wip` is None unless `%wip` or `%ready` was given."""

    branch: str
    topic: str | None = None
    wip: bool | None = None

    @classmethod
    def parse(cls, text: str) -> "Target":
        """Read `BRANCH[%OPTION[,OPTION]…]`; `RefusedError` for an option that the sandbox does not know."""
        branch, _, options = text.partition("%")
        target = cls(branch.removeprefix("refs/heads/"))
        for option in filter(None, options.split(",")):
            name, _, value = option.partition("=")
            match name:
                case "wip" | "ready":
                    target = replace(target, wip=name == "wip")
                case "topic" if value:
                    target = replace(target, topic=value)
                case _:
                    raise RefusedError(f'"{option}" is not a valid option')
        return target


def upload(site: Site, project: str, target: Target, revision: str, uploader: Identity) -> list[Change]:
    """Take the commits up to `revision`; returns the changes, parents first. Raises `RefusedError`."""
    repository = site.repository(project)
    commits = [repository.describe(name) for name in repository.new_commits(revision)]
    commits = [replace(commit, author=site.identify(commit.author)) for commit in commits]
    with site.lock:
        changes = _Plan(site, project, target, uploader).changes(commits)
        for change in changes:
            site.add_patch_set_ref(change, uploader)
        changes = [site.save(change, uploader) for change in changes]
        for change in changes:
            site.publish(site.shapes.patchset_created(change))
            if target.topic:
                site.publish(site.shapes.topic_changed(change, uploader, target.topic))
    return changes


@dataclass(frozen=True, slots=True)
class _Plan:
    """Works out what an upload would make of its commits; alters nothing but the numbers that it uses up."""

    site: Site
    project: str
    target: Target
    uploader: Identity

    def changes(self, commits: list[Commit]) -> list[Change]:
        """The changes as they will be, or `RefusedError`."""
        branch = self.target.branch
        if self.site.repository(self.project).head(f"refs/heads/{branch}") == ZERO:
            raise RefusedError(f"branch {branch} not found")
        existing = [each for each in self.site.changes if (each.project, each.branch) == (self.project, branch)]
        known = {patch_set.revision for change in existing for patch_set in change.patch_sets}
        by_id = {change.change_id: change for change in existing}
        fresh = [commit for commit in commits if commit.revision not in known]
        ids = [_change_id(commit) for commit in fresh]
        if not fresh:
            raise RefusedError("no new changes")
        if len(set(ids)) < len(ids):
            raise RefusedError("same Change-Id in multiple changes")
        for closed in (by_id[key] for key in ids if key in by_id and not by_id[key].is_open):
            raise RefusedError(f"change {self.site.shapes.url(closed)} closed")
        return [
            self._amended(by_id[key], commit) if key in by_id else self._created(key, commit)
            for key, commit in zip(ids, fresh, strict=True)
        ]

    def _created(self, change_id: str, commit: Commit) -> Change:
        number, now = self.site.next_number(), int(time.time())
        first = PatchSet(1, f"{ref_prefix(number)}/1", commit, self.uploader, now, "REWORK")
        return Change(
            number=number,
            project=self.project,
            branch=self.target.branch,
            change_id=change_id,
            owner=self.uploader,
            created_on=now,
            last_updated=now,
            patch_sets=(first,),
            topic=self.target.topic,
            wip=bool(self.target.wip),
            messages=(Message("Uploaded patch set 1.", self.uploader, now, 1),),
        )

    def _amended(self, change: Change, commit: Commit) -> Change:
        number, now = len(change.patch_sets) + 1, int(time.time())
        kind = _kind(self.site.repository(self.project), change.current.commit, commit)
        copied_on = {label.name: label.copied_on for label in self.site.settings.labels}
        votes = tuple(replace(vote, granted_on=now) for vote in change.current.votes if kind in copied_on[vote.label])
        ref = f"{change.ref_prefix}/{number}"
        text = f"Uploaded patch set {number}{_KIND_WORDS.get(kind, '.').format(number - 1)}"
        return replace(
            change,
            patch_sets=(*change.patch_sets, PatchSet(number, ref, commit, self.uploader, now, kind, votes)),
            topic=self.target.topic or change.topic,
            wip=change.wip if self.target.wip is None else self.target.wip,
            messages=(*change.messages, Message(text, self.uploader, now, number)),
        )


def _change_id(commit: Commit) -> str:
    where = f"commit {commit.revision[:7]}"
    if not commit.change_ids:
        raise RefusedError(f"{where}: missing Change-Id in message footer")
    if len(commit.change_ids) > 1:
        raise RefusedError(f"{where}: multiple Change-Id lines in message footer")
    if not _CHANGE_ID.fullmatch(commit.change_ids[0]):
        raise RefusedError(f"{where}: invalid Change-Id line format in message footer")
    return commit.change_ids[0]


def _kind(repository: Repository, old: Commit, new: Commit) -> Kind:
    """How a patch set differs from the one before it (gerrit-wire.md 3.4)."""
    if old.parents == new.parents and old.tree == new.tree:
        return "NO_CHANGE" if old.message == new.message else "NO_CODE_CHANGE"
    moved = old.message == new.message and old.parents != new.parents
    if moved and repository.patch_id(old.revision) == repository.patch_id(new.revision):
        return "TRIVIAL_REBASE"
    return "REWORK"
