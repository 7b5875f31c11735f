"""What a merger is asked for and what it answers (``spec/merger.md`` 2 and 8)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from ci_gate.model.modes import MergeMode as MergeMode  # noqa: PLC0414  # known from here, where merges are


class MergeOutcome(StrEnum):
    """Only ``CONFLICT`` may be told to the author as a merge failure."""

    MERGED = "merged"
    CONFLICT = "conflict"
    MISSING_REF = "missing-ref"
    MISSING_BRANCH = "missing-branch"
    FETCH = "fetch"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class MergeRequest:
    """Merge one change onto the state of the build set ahead, or onto its branch's tip.

    ``ref`` is the build set's name (``Z`` and 32 hex digits): the result is published as
    ``refs/zuul/BRANCH/REF``. ``revision`` is the change's commit, where it is known.

    The rest says where it stands, and does not make it another request. ``ahead`` is the name of the build set that
    this one stands on, and ``depth`` says how long the chain is that ends here: of the states ahead, only those of
    its members count, not of what was merged since. ``tip`` is where the branch stands upstream as far as events tell:
    a merger that has it need not look; with None it looks. ``base`` is the tip that the chain was started on before, on
    another merger: it is started there again. ``url`` is where the project comes from, if its connection does not say.
    """

    ref: str
    connection: str
    project: str
    branch: str
    refspec: str
    number: str
    patchset: str
    mode: MergeMode
    revision: str | None = None
    ahead: str | None = field(default=None, compare=False)
    depth: int | None = field(default=None, compare=False)
    tip: str | None = field(default=None, compare=False)
    base: str | None = field(default=None, compare=False)
    url: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class UpdateRequest:
    """Bring the merger's copy of a project up to date, for builds of refs and timers.

    ``name`` is the build set's, so that the answer finds it. ``url`` is where the project comes from, if its connection
    does not say.
    """

    name: str
    connection: str
    project: str
    url: str | None = None


@dataclass(frozen=True, slots=True)
class BaseCommit:
    """The tip of a branch that a chain was started on."""

    project: str
    branch: str
    commit: str


@dataclass(frozen=True, slots=True)
class MergeAnswer:
    """``url`` is the base under which this merger serves its repositories (``ZUUL_URL``).

    ``paths`` are the conflicting files; ``detail`` says for the operator what went wrong. ``tip`` is where the branch
    stands upstream, if it was looked at for this answer.
    """

    ref: str
    outcome: MergeOutcome
    commit: str | None = None
    url: str | None = None
    bases: tuple[BaseCommit, ...] = ()
    paths: tuple[str, ...] = ()
    detail: str = ""
    tip: str | None = field(default=None, compare=False)
