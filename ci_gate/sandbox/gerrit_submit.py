"""Submits on the simulated Gerrit: whether a change may be merged, and the merge.

Called by `gerrit review --submit`, by the Python surface, and by queries for `is:submittable`. A submit takes the
open changes below along (gerrit-wire.md 6.4; the README of the recorded samples, 3 and 7). A branch is moved
forward if it can be, else a merge commit is made.
"""

import time
from dataclasses import replace

from ci_gate.sandbox.gerrit_git import Repository
from ci_gate.sandbox.gerrit_review import find
from ci_gate.sandbox.gerrit_site import Site
from ci_gate.sandbox.gerrit_values import Account, Change, Message, RefusedError, SiteSettings

_CONFLICT = (
    "Change could not be merged due to a path conflict. "
    "Please rebase the change locally and upload the rebased commit for review."
)


def unsatisfied(settings: SiteSettings, change: Change) -> str | None:
    """The first label whose requirement does not hold, a highest vote and no lowest one; None if all hold."""
    ranges = {label.name: (label.lowest, label.highest) for label in settings.labels}
    for name in settings.requirements:
        lowest, highest = ranges[name]
        values = [vote.value for vote in change.current.votes if vote.label == name]
        if highest not in values or lowest in values:
            return name
    return None


def submit(site: Site, by: Account, number: int, patch_set: int | None = None) -> None:
    """Merge a change and the open ones that it stands on, or nothing. Raises `RefusedError`, `NotFoundError`."""
    with site.lock:
        change, wanted = find(site, number, patch_set)
        if not by.may_submit:
            raise RefusedError("submit not permitted")
        if not change.is_open:
            raise RefusedError(f"change is {change.status.lower()}")
        if wanted is not change.current:
            raise RefusedError(f"revision {wanted.revision} is not current revision")
        repository = site.repository(change.project)
        ref = f"refs/heads/{change.branch}"
        tip = repository.head(ref)
        series = _series(site, repository, change, tip)
        _check_ready(site, change, series)
        merged = _merge(repository, change, tip, by)
        if merged is None:
            raise _failure(series, f"Change {number}: {_CONFLICT}")
        site.update_ref(change.project, ref, merged, by.identity)
        done = [_save_merged(site, each, by) for each in reversed(series)]
        for each in reversed(done):
            site.publish(site.shapes.change_merged(each, by.identity, merged))


def _series(site: Site, repository: Repository, change: Change, tip: str) -> list[Change]:
    """The changes that a submit merges, parents first; only this one if the branch has its commit already."""
    current = {
        each.current.revision: each
        for each in site.changes
        if each.is_open and (each.project, each.branch) == (change.project, change.branch)
    }
    missing = repository.missing_from(tip, change.current.revision)
    series = [current[revision] for revision in missing if revision in current]
    if len(series) < len(missing):
        raise _failure([change], f"Change {change.number}: Depends on change that was not submitted.")
    return series or [change]


def _check_ready(site: Site, change: Change, series: list[Change]) -> None:
    for each in series:
        number = each.number
        label = unsatisfied(site.settings, each)
        if each.wip:
            reason = f"Change {number} is marked work in progress"
        elif label is None:
            continue
        elif each is change:
            reason = f"Change {number} is not ready: submit requirement '{label}' is unsatisfied."
        else:
            reason = (
                f"Change {change.number} must be submitted with change {number} but {number} is not ready: "
                f"submit requirement '{label}' is unsatisfied."
            )
        raise _failure(series, f"Change {number}: {reason}")


def _merge(repository: Repository, change: Change, tip: str, by: Account) -> str | None:
    """The branch's new tip; None on a conflict. A change that the branch has already leaves it where it is."""
    revision = change.current.revision
    if repository.contains(revision, tip):
        return revision
    if repository.contains(tip, revision):
        return tip
    return repository.merge(tip, revision, f'Merge "{change.current.commit.subject}"', by.identity)


def _save_merged(site: Site, change: Change, by: Account) -> Change:
    """Close a change; from now on every vote counts as given at the merge."""
    now = int(time.time())
    votes = tuple(replace(vote, granted_on=now) for vote in change.current.votes)
    patch_sets = (*change.patch_sets[:-1], replace(change.current, votes=votes))
    text = "Change has been successfully merged"
    message = Message(text, by.identity, now, change.current.number)
    return site.save(
        change, by.identity, status="MERGED", patch_sets=patch_sets, messages=(*change.messages, message),
        submitter=by.identity, submitted_on=now,
    )  # fmt: skip


def _failure(series: list[Change], problem: str) -> RefusedError:
    count = f"{len(series)} change{'s' if len(series) > 1 else ''}"
    return RefusedError(f"Failed to submit {count} due to the following problems:\n{problem}")
