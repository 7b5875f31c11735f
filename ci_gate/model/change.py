"""What travels through pipelines: changes, ref updates, periodic subjects (``spec/scheduler.md`` 1.1-1.2)."""

from __future__ import annotations

from dataclasses import dataclass

from ci_gate.model.labels import normal_label as normal_label  # noqa: PLC0414  # known from here, where votes are

NO_REVISION = "0" * 40
MOST_DIGITS = 18
MERGED = "MERGED"


def decimal_text(number: str | int) -> str:
    """A change or patch set number as decimal text without leading zeros, whatever JSON type it came in."""
    return str(int(number))


def whole_number(text: str) -> int | None:
    """The value of decimal digits; None of anything else, and of more digits than any number of ours has."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS else None


@dataclass(frozen=True, slots=True)
class Account:
    """A Gerrit account. Every field may be missing; service users often have no e-mail address."""

    name: str | None = None
    email: str | None = None
    username: str | None = None


@dataclass(frozen=True, slots=True)
class Vote:
    """One approval. ``label`` is spelled as Gerrit spells it; compare with :func:`normal_label`.

    In events ``by`` and ``granted_on`` (seconds since the epoch) are absent.
    """

    label: str
    value: int
    by: Account | None = None
    granted_on: float | None = None


@dataclass(frozen=True, slots=True)
class ChangeKey:
    """Identity of a change in pipelines: patch sets of one change are different subjects."""

    connection: str
    number: str
    patchset: str

    def __str__(self) -> str:
        return f"{self.number},{self.patchset}"

    def same_change(self, other: ChangeKey) -> bool:
        return (self.connection, self.number) == (other.connection, other.number)

    def updates(self, other: ChangeKey) -> bool:
        """Is this a later patch set of the same change?"""
        mine, others = whole_number(self.patchset), whole_number(other.patchset)
        return self.same_change(other) and mine is not None and others is not None and mine > others


@dataclass(frozen=True, slots=True)
class RefKey:
    """Identity of a ref update: the old revision does not count."""

    connection: str
    project: str
    ref: str
    newrev: str

    def __str__(self) -> str:
        return f"{self.project} {self.ref}@{self.newrev[:8]}"


@dataclass(frozen=True, slots=True)
class PeriodicKey:
    """Identity of a timer item: one for each project (in its pipeline)."""

    connection: str
    project: str

    def __str__(self) -> str:
        return self.project


SubjectKey = ChangeKey | RefKey | PeriodicKey


@dataclass(frozen=True, slots=True)
class PatchSet:
    """``ref`` is ``refs/changes/NN/number/patchset``; ``files`` are as Gerrit lists them, ``/COMMIT_MSG`` too."""

    number: str
    ref: str
    revision: str
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SubmitLabel:
    """One label of a submit record: ``status`` is OK, MAY, NEED, REJECT or IMPOSSIBLE."""

    label: str
    status: str


@dataclass(frozen=True, slots=True)
class SubmitRecord:
    status: str
    labels: tuple[SubmitLabel, ...] = ()


@dataclass(frozen=True, slots=True)
class AtomsSeen:
    """What Gerrit found of an expression: its text, and those of its atoms that hold, without the sign in front."""

    expression: str
    passing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SubmitRequirement:
    """One condition (3.5 and later): SATISFIED, UNSATISFIED, OVERRIDDEN, NOT_APPLICABLE, ERROR or FORCED.

    ``is_legacy``: made of a submit record, so that its atoms say nothing (gerrit-wire.md 4.6 (b)).
    """

    name: str
    status: str
    is_legacy: bool = False
    submittability: AtomsSeen | None = None
    override: AtomsSeen | None = None


@dataclass(frozen=True, slots=True)
class RelatedChange:
    """A git parent or child as a query lists it."""

    number: str
    patchset: str
    is_current: bool = True


@dataclass(frozen=True, slots=True)
class ChangeDetails:
    """All that one query tells of a change (``spec/gerrit-wire.md`` 4.4).

    ``patch_sets`` are in ascending order; ``votes`` stand on the current one. ``records_decide``: the submit records
    tell all of what Gerrit asks for. Else (3.5 and later) ``submit_requirements`` do; where these cannot be had they
    are None, ``is_submittable`` says whether it would submit the change as it is, and of one that it would not nothing
    more is known (gerrit-wire.md 4.6 (c)).
    """

    connection: str
    number: str
    project: str
    branch: str
    url: str | None = None
    change_id: str | None = None
    owner: Account | None = None
    status: str = "NEW"
    is_open: bool = True
    wip: bool = False
    private: bool = False
    topic: str | None = None
    hashtags: tuple[str, ...] = ()
    commit_message: str = ""
    patch_sets: tuple[PatchSet, ...] = ()
    votes: tuple[Vote, ...] = ()
    depends_on: tuple[RelatedChange, ...] = ()
    needed_by: tuple[RelatedChange, ...] = ()
    submit_records: tuple[SubmitRecord, ...] = ()
    records_decide: bool = True
    submit_requirements: tuple[SubmitRequirement, ...] | None = None
    is_submittable: bool = False

    @property
    def label_names(self) -> tuple[str, ...]:
        named = [each.label for record in self.submit_records for each in record.labels]
        return tuple(dict.fromkeys([*named, *(vote.label for vote in self.votes)]))

    @property
    def current_patchset(self) -> str | None:
        return self.patch_sets[-1].number if self.patch_sets else None

    def patch_set(self, number: str) -> PatchSet | None:
        return next((each for each in self.patch_sets if each.number == number), None)


@dataclass(frozen=True, slots=True)
class Change:
    """The record of one patch set: refspec and files are its own, votes those of the current patch set.

    ``label_names`` are as Gerrit spells them, as far as it told. ``needs`` and ``needed_by`` are in the order of
    scheduler.md 3.2.
    """

    key: ChangeKey
    project: str
    branch: str
    refspec: str
    revision: str | None = None
    url: str | None = None
    change_id: str | None = None
    owner: Account | None = None
    files: tuple[str, ...] = ()
    votes: tuple[Vote, ...] = ()
    label_names: tuple[str, ...] = ()
    submit_records: tuple[SubmitRecord, ...] = ()
    records_decide: bool = True
    submit_requirements: tuple[SubmitRequirement, ...] | None = None
    is_submittable: bool = False
    status: str = "NEW"
    is_open: bool = True
    is_current: bool = True
    wip: bool = False
    private: bool = False
    topic: str | None = None
    hashtags: tuple[str, ...] = ()
    commit_message: str = ""
    needs: tuple[ChangeKey, ...] = ()
    needed_by: tuple[ChangeKey, ...] = ()

    @property
    def number(self) -> str:
        return self.key.number

    @property
    def patchset(self) -> str:
        return self.key.patchset

    @property
    def is_merged(self) -> bool:
        return self.status == MERGED

    @classmethod
    def of(
        cls,
        details: ChangeDetails,
        patchset: str,
        needs: tuple[ChangeKey, ...] = (),
        needed_by: tuple[ChangeKey, ...] = (),
    ) -> Change | None:
        """The record of ``patchset`` out of a query's answer; None if the answer does not have that patch set."""
        found = details.patch_set(patchset)
        if found is None:
            return None
        return cls(
            key=ChangeKey(details.connection, details.number, patchset),
            project=details.project,
            branch=details.branch,
            refspec=found.ref,
            revision=found.revision,
            url=details.url,
            change_id=details.change_id,
            owner=details.owner,
            files=found.files,
            votes=details.votes,
            label_names=details.label_names,
            submit_records=details.submit_records,
            records_decide=details.records_decide,
            submit_requirements=details.submit_requirements,
            is_submittable=details.is_submittable,
            status=details.status,
            is_open=details.is_open,
            is_current=details.current_patchset == patchset,
            wip=details.wip,
            private=details.private,
            topic=details.topic,
            hashtags=details.hashtags,
            commit_message=details.commit_message,
            needs=needs,
            needed_by=needed_by,
        )


@dataclass(frozen=True, slots=True)
class RefUpdate:
    """A branch or tag that moved. ``ref`` is as the event gave it; ``url`` links to the new commit."""

    key: RefKey
    oldrev: str
    url: str | None = None

    @property
    def project(self) -> str:
        return self.key.project

    @property
    def ref(self) -> str:
        return self.key.ref

    @property
    def newrev(self) -> str:
        return self.key.newrev


@dataclass(frozen=True, slots=True)
class Periodic:
    """What a timer starts: a project, nothing else."""

    key: PeriodicKey

    @property
    def project(self) -> str:
        return self.key.project


Subject = Change | RefUpdate | Periodic
