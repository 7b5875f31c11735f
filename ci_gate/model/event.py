"""Events that may trigger pipelines (``spec/gerrit-wire.md`` 3)."""

from __future__ import annotations

from dataclasses import dataclass

from ci_gate.model.change import Account, Vote


@dataclass(frozen=True, slots=True)
class Event:
    """One event of one connection; what it does not have is None.

    ``branch`` is the change's short branch name; ``ref`` the name in a ref update, as received (or without
    ``refs/heads/`` where ``strip_branch_ref`` is on). Numbers are decimal text. ``created_on`` is the server's
    clock, in seconds. ``pipeline`` is the one that a parent entered. ``change_id`` is what footers name (``I…``).
    ``caught_up``: the stream did not bring it; it was found by looking for what was missed.
    """

    type: str
    connection: str
    project: str | None = None
    branch: str | None = None
    number: str | None = None
    patchset: str | None = None
    refspec: str | None = None
    change_url: str | None = None
    account: Account | None = None
    votes: tuple[Vote, ...] = ()
    comment: str | None = None
    ref: str | None = None
    oldrev: str | None = None
    newrev: str | None = None
    ref_url: str | None = None
    pipeline: str | None = None
    created_on: int | None = None
    change_id: str | None = None
    caught_up: bool = False

    @property
    def names_change(self) -> bool:
        return self.number is not None

    def describe(self) -> str:
        """For logs: ``comment-added 12,3 demo/app``."""
        if self.number is not None:
            what = f"{self.number},{self.patchset}" if self.patchset else self.number
        else:
            what = self.ref or ""
        return " ".join(part for part in (self.type, what, self.project) if part)
