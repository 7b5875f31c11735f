"""Reviews on the simulated Gerrit: comments, votes, abandon, restore and work in progress.

Called by `gerrit review` and by the Python surface. Rules and words: gerrit-wire.md 6.3 and 6.4, and the recorded
samples of 3.13.0. A refusal alters nothing.
"""

import time
from collections.abc import Mapping
from dataclasses import replace

from ci_gate.sandbox.gerrit_site import Site
from ci_gate.sandbox.gerrit_values import (
    Account,
    Change,
    Identity,
    Label,
    Message,
    NotFoundError,
    PatchSet,
    RefusedError,
    Status,
    Vote,
    label_key,
)


def review(
    site: Site,
    by: Account,
    number: int,
    patch_set: int,
    *,
    message: str = "",
    votes: Mapping[str, int] | None = None,
    tag: str | None = None,
    inline_comments: int = 0,
) -> None:
    """Store a comment and votes on one patch set, all or nothing.

    A label that the site does not know is dropped without a word; a review that says nothing new leaves no trace.
    Raises `RefusedError`, `NotFoundError`.
    """
    with site.lock:
        change, old = find(site, number, patch_set)
        granted = _known_votes(site, votes or {})
        _check_votes(change, old, by, granted)
        text = message.strip()
        size = len(text.encode("utf-16-le", errors="replace")) // 2  # as Java counts
        if size > site.settings.comment_size_limit:
            raise RefusedError(
                "One or more comments were rejected in validation: "
                f"Comment size exceeds limit ({size} > {site.settings.comment_size_limit})"
            )
        changed = {name: value for name, value in granted.items() if value != old.value(name, by.identity)}
        if not (text or changed or inline_comments):
            return
        now = int(time.time())
        kept = [vote for vote in old.votes if vote.by != by.identity or vote.label not in changed]
        given = [Vote(name, value, by.identity, now) for name, value in changed.items() if value]
        new = replace(old, votes=(*kept, *given))
        stored = Message(_with_header(patch_set, changed, inline_comments, text), by.identity, now, patch_set, tag)
        patch_sets = tuple(new if each is old else each for each in change.patch_sets)
        change = site.save(change, by.identity, patch_sets=patch_sets, messages=(*change.messages, stored))
        site.publish(site.shapes.comment_added(change, new, stored, old))


def abandon(site: Site, by: Account, number: int, reason: str = "") -> None:
    """Close a change without merging it; for its owner and those with the right."""
    with site.lock:
        change = _to_reopen_or_close(site, by, number, "NEW", "abandon")
        change = _set_status(site, change, by.identity, "ABANDONED", f"Abandoned\n\n{reason}")
        site.publish(site.shapes.change_abandoned(change, by.identity, reason))


def restore(site: Site, by: Account, number: int, reason: str = "") -> None:
    """Open an abandoned change again."""
    with site.lock:
        change = _to_reopen_or_close(site, by, number, "ABANDONED", "restore")
        change = _set_status(site, change, by.identity, "NEW", f"Restored\n\n{reason}")
        site.publish(site.shapes.change_restored(change, by.identity, reason))


def set_wip(site: Site, by: Account, number: int, *, wip: bool) -> None:
    """Mark a change as work in progress, or as ready."""
    with site.lock:
        change, _ = find(site, number, None)
        text = "Set Work In Progress" if wip else "Set Ready For Review"
        change = site.save(change, by.identity, wip=wip, messages=(*change.messages, _note(change, by.identity, text)))
        site.publish(site.shapes.wip_state_changed(change, by.identity))


def find(site: Site, number: int, patch_set: int | None) -> tuple[Change, PatchSet]:
    """A change and one of its patch sets, the current one for None; `NotFoundError` if it is not there."""
    change = site.change(number)
    if change is None:
        raise NotFoundError(f'"{number}" no such change')
    found = change.current if patch_set is None else change.patch_set(patch_set)
    if found is None:
        raise NotFoundError(f'"{number},{patch_set}" no such patch set')
    return change, found


def _known_votes(site: Site, votes: Mapping[str, int]) -> dict[str, int]:
    labels: dict[str, Label] = {label_key(label.name): label for label in site.settings.labels}
    return {labels[label_key(name)].name: value for name, value in votes.items() if label_key(name) in labels}


def _check_votes(change: Change, patch_set: PatchSet, by: Account, granted: Mapping[str, int]) -> None:
    for name, value in granted.items():
        lowest, highest = by.votes.get(name, (0, 0))
        if value and not lowest <= value <= highest:
            raise RefusedError(f'Applying label "{name}": {value} is restricted')
    if granted and change.status == "ABANDONED":
        raise RefusedError("change is closed")
    reduced = [name for name, value in granted.items() if value < patch_set.value(name, by.identity)]
    if reduced and change.status == "MERGED":
        raise RefusedError(f"Cannot reduce vote on labels for closed change: {', '.join(sorted(reduced))}")


def _with_header(patch_set: int, changed: Mapping[str, int], inline_comments: int, text: str) -> str:
    """The message as stored: header with the changed votes, count of inline comments, text (gerrit-wire.md 3.5)."""
    votes = [f" {name}{value:+d}" if value else f" -{name}" for name, value in sorted(changed.items())]
    count = f"({inline_comments} comment{'s' if inline_comments > 1 else ''})" if inline_comments else ""
    return "\n\n".join(filter(None, [f"Patch Set {patch_set}:{''.join(votes)}", count, text]))


def _to_reopen_or_close(site: Site, by: Account, number: int, status: Status, action: str) -> Change:
    change, _ = find(site, number, None)
    if by.identity != change.owner and not by.may_abandon:
        raise RefusedError(f"{action} not permitted")
    if change.status != status:
        raise RefusedError(f"change is {change.status.lower()}")
    return change


def _set_status(site: Site, change: Change, by: Identity, status: Status, text: str) -> Change:
    return site.save(change, by, status=status, messages=(*change.messages, _note(change, by, text.strip())))


def _note(change: Change, by: Identity, text: str) -> Message:
    return Message(text, by, int(time.time()), change.current.number)
