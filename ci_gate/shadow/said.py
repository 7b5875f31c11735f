"""What one side said about a patch set: read from the live system's comments, or decided by the shadow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

NO_ANSWER = "NO_ANSWER"
"""Result of a build for which the live system has named none: it said nothing in time, or ran no jobs."""
ASSUMED = "assumed: the live system did not run this job"
"""Reason of the success of a build that is missing among the jobs which the live system ran."""


class Side(StrEnum):
    LIVE = "live"
    SHADOW = "shadow"


class Kind(StrEnum):
    """Only ``FINAL`` ones are compared. ``UNMERGED``: it does not merge for testing; ``UNTESTED``: other reasons.

    ``UNSUBMITTED``: all tests passed, but it was not merged. ``MERGED``: Gerrit has merged the change.
    """

    STARTED = "started"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNMERGED = "merge failure"
    UNTESTED = "not tested"
    UNSUBMITTED = "not submitted"
    MERGED = "merged"


FINAL = frozenset({Kind.SUCCEEDED, Kind.FAILED, Kind.UNMERGED, Kind.UNTESTED})


@dataclass(frozen=True, slots=True)
class JobResult:
    """``result`` is SUCCESS, FAILURE and so on, or the words of a job's own message where no layout explains them."""

    job: str
    result: str
    voting: bool = True
    url: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """``at``: seconds since the epoch, by this service's clock. ``pipeline`` None: it cannot be told.

    ``votes`` are by normal label: of the live system those that stand; ``given`` names those that came with it.
    ``submit``: the shadow would merge it, or the live account has merged it. ``inside``: the patch set was in this
    pipeline of the shadow when the live system said this. ``answered_by``: the live report whose results the shadow's
    builds took. ``decisions``: what the shadow had decided about it by then, as texts.
    """

    id: str
    at: float
    side: Side
    kind: Kind
    connection: str
    project: str
    number: str
    patchset: str
    pipeline: str | None = None
    votes: Mapping[str, int] = field(default_factory=dict)
    given: tuple[str, ...] = ()
    jobs: tuple[JobResult, ...] = ()
    submit: bool = False
    inside: bool = False
    answered_by: str = ""
    text: str = ""
    decisions: tuple[str, ...] = ()

    @property
    def change(self) -> str:
        return f"{self.number},{self.patchset}"

    @property
    def is_final(self) -> bool:
        return self.kind in FINAL

    @property
    def is_unanswered(self) -> bool:
        """Did the live system leave a build of the shadow's without a result?"""
        return any(each.result == NO_ANSWER for each in self.jobs)
