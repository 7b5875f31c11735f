"""Does Gerrit's answer already show what an event told? Its index may lag behind its own events.

A stale answer is asked for again, ``event_delay`` at most, in place of a fixed wait (gerrit-wire.md 3.3).
"""

from __future__ import annotations

from ci_gate.model.change import Account, ChangeDetails, Vote, normal_label
from ci_gate.model.event import Event

CHANGE_DELETED = "change-deleted"


def shows(details: ChangeDetails | None, event: Event) -> bool:
    """The event's patch set, status and votes are in the answer, or the answer is of a later time.

    None: Gerrit knows no such change.
    """
    if details is None or event.type == CHANGE_DELETED:
        return details is None and event.type == CHANGE_DELETED
    if event.patchset is not None and details.patch_set(event.patchset) is None:
        return False
    match event.type:
        case "change-abandoned":
            return not details.is_open
        case "change-restored":
            return details.is_open
        case "change-merged":
            return details.status == "MERGED"
        case "comment-added":
            return _shows_votes(details, event)
        case _:
            return True


def _shows_votes(details: ChangeDetails, event: Event) -> bool:
    """Queries tell the votes on the current patch set only, so only those can be looked for."""
    if event.account is None or event.patchset != details.current_patchset:
        return True
    return all(_shows_vote(details, event, event.account, vote) for vote in event.votes)


def _shows_vote(details: ChangeDetails, event: Event, voter: Account, wanted: Vote) -> bool:
    found = [
        vote
        for vote in details.votes
        if normal_label(vote.label) == normal_label(wanted.label) and _same_person(vote.by, voter)
    ]
    if any(vote.value == wanted.value for vote in found):
        return True
    if any((vote.granted_on or 0.0) > (event.created_on or float("inf")) for vote in found):
        return True  # changed once more since: the answer is of a later time than the event
    return wanted.value == 0 and not found


def _same_person(one: Account | None, other: Account) -> bool:
    if one is None:
        return False
    if one.username and other.username:
        return one.username == other.username
    return (one.email, one.name) == (other.email, other.name)
