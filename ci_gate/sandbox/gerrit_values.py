"""The values of the simulated Gerrit: accounts, labels, changes and what belongs to them.

Everything here is frozen. A change that moves on is a new value (`dataclasses.replace`), so that a query can answer
from an older state than the one that the last event told of, and nobody needs a lock to read. Knows neither git nor
SSH nor JSON.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

ZERO = "0" * 40
"""The revision of a reference that does not exist (gerrit-wire.md 3.4, refUpdate)."""

Status = Literal["NEW", "MERGED", "ABANDONED"]
Kind = Literal["REWORK", "TRIVIAL_REBASE", "NO_CODE_CHANGE", "NO_CHANGE"]

_CHANGE_ID = re.compile(r"^Change-Id:[ \t]*(\S.*?)[ \t]*$", re.MULTILINE)


class RefusedError(Exception):
    """The server will not do it; the text is Gerrit's own, without the prefix that each protocol puts before it."""


class NotFoundError(Exception):
    """There is no such change or patch set; the text is Gerrit's own."""


@dataclass(frozen=True, slots=True)
class Label:
    """A voting label: `lowest` <= vote <= `highest`; votes go on to a new patch set of a kind in `copied_on`."""

    name: str
    lowest: int
    highest: int
    copied_on: frozenset[Kind] = frozenset({"NO_CHANGE"})


DEFAULT_LABELS = (
    Label("Verified", -2, 2, frozenset({"NO_CODE_CHANGE", "NO_CHANGE"})),
    Label("Code-Review", -2, 2, frozenset({"TRIVIAL_REBASE", "NO_CHANGE"})),
    Label("Workflow", -1, 1),
)


@dataclass(frozen=True, slots=True)
class SiteSettings:
    """What an administrator settles once for a server.

    `requirements` are the labels that need a highest vote and no lowest one before a submit, in the order in which
    a refusal looks for one to name. `numbers_as_text` gives `number` fields as JSON strings, as up to about Gerrit
    2.15 (gerrit-wire.md 3.4). `query_limit` is the page size of queries.
    """

    version: str = "3.13.0"
    base_url: str = "http://review.example.org"
    instance_id: str | None = "sandbox"
    labels: tuple[Label, ...] = DEFAULT_LABELS
    requirements: tuple[str, ...] = ("Verified", "Workflow", "Code-Review")
    numbers_as_text: bool = False
    query_limit: int = 500
    max_connections_per_user: int = 64
    comment_size_limit: int = 16 * 1024


@dataclass(frozen=True, slots=True)
class Identity:
    """A person as events show one; `username` is None for an author without an account here."""

    name: str
    email: str
    username: str | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """An account and what it may do.

    `key` is its public key as `TYPE BASE64`; `votes` maps a label to the lowest and the highest vote that it may
    give.
    """

    identity: Identity
    username: str
    key: str
    votes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    may_submit: bool = False
    may_push: bool = False
    may_abandon: bool = False
    may_stream: bool = True


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file of a patch set; `deletions` is negative or 0; `blob` is None for a deleted or a magic file."""

    path: str
    kind: str
    insertions: int
    deletions: int
    old_path: str | None = None
    blob: str | None = None
    mode: str = "100644"


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit as Gerrit looks at one. `files` begins with `/COMMIT_MSG` (and `/MERGE_LIST` for a merge)."""

    revision: str
    tree: str
    parents: tuple[str, ...]
    author: Identity
    message: str
    files: tuple[FileChange, ...]

    @property
    def subject(self) -> str:
        """The first paragraph on one line."""
        return " ".join(self.message.strip().split("\n\n", 1)[0].split("\n"))

    @property
    def change_ids(self) -> tuple[str, ...]:
        """The values of the Change-Id footers: those lines of the last paragraph, unless it is the subject."""
        subject, _, rest = self.message.strip().partition("\n\n")
        return tuple(_CHANGE_ID.findall(rest.rsplit("\n\n", 1)[-1])) if subject else ()


@dataclass(frozen=True, slots=True)
class Vote:
    label: str
    value: int
    by: Identity
    granted_on: int


@dataclass(frozen=True, slots=True)
class Message:
    """A message of a change as stored, header included (gerrit-wire.md 3.5)."""

    text: str
    by: Identity
    at: int
    patch_set: int
    tag: str | None = None


@dataclass(frozen=True, slots=True)
class PatchSet:
    number: int
    ref: str
    commit: Commit
    uploader: Identity
    created_on: int
    kind: Kind
    votes: tuple[Vote, ...] = ()

    @property
    def revision(self) -> str:
        return self.commit.revision

    def value(self, label: str, by: Identity) -> int:
        """The vote that somebody holds on this patch set, 0 for none."""
        return next((vote.value for vote in self.votes if vote.label == label and vote.by == by), 0)


@dataclass(frozen=True, slots=True)
class Change:
    """A change in one state. `patch_sets` is never empty and in order; times are seconds since the epoch."""

    number: int
    project: str
    branch: str
    change_id: str
    owner: Identity
    created_on: int
    last_updated: int
    patch_sets: tuple[PatchSet, ...]
    status: Status = "NEW"
    topic: str | None = None
    wip: bool = False
    messages: tuple[Message, ...] = ()
    submitter: Identity | None = None
    submitted_on: int = 0

    @property
    def current(self) -> PatchSet:
        return self.patch_sets[-1]

    @property
    def is_open(self) -> bool:
        return self.status == "NEW"

    @property
    def ref_prefix(self) -> str:
        """Where its references live: `refs/changes/NN/NUMBER`, NN being the last two digits."""
        return ref_prefix(self.number)

    def patch_set(self, number: int) -> PatchSet | None:
        """The patch set of that number; None if there is none."""
        return self.patch_sets[number - 1] if 1 <= number <= len(self.patch_sets) else None

    def votes(self, label: str) -> dict[str, int]:
        """Who voted what on the current patch set, by username."""
        return {str(vote.by.username): vote.value for vote in self.current.votes if vote.label == label}


def ref_prefix(number: int) -> str:
    """Where the references of a change live."""
    return f"refs/changes/{number % 100:02}/{number}"


def label_key(name: str) -> str:
    """A label as names are compared: `Code Review` and `code-review` are one (gerrit-wire.md 3.4)."""
    return name.lower().replace(" ", "-")
