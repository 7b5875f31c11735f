"""A layout after loading: every name resolved, every default filled in (``spec/layout.md``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ci_gate.model.expression import Expression
from ci_gate.model.modes import MergeMode, Precedence

INDEPENDENT = "IndependentPipelineManager"
DEPENDENT = "DependentPipelineManager"
SUPERCEDENT = "SupercedentPipelineManager"

DEFAULT_MERGE_FAILURE_MESSAGE = (
    "Merge Failed.\n\n"
    "This change could not be merged onto the current state of its branch. "
    "Please rebase it and upload a new patch set."
)


@dataclass(frozen=True, slots=True)
class VoteRequirement:
    """Fits if some single vote on the current patch set fits all keys (layout.md 5.4). Times are in seconds.

    ``labels`` are (normal name, allowed values).
    """

    username: Expression | None = None
    email: Expression | None = None
    newer_than_s: float | None = None
    older_than_s: float | None = None
    labels: tuple[tuple[str, frozenset[int]], ...] = ()


@dataclass(frozen=True, slots=True)
class EventFilter:
    """One filter under a trigger. Empty means: not asked (layout.md 5.3, scheduler.md 4.1).

    ``trigger`` is a Gerrit connection's name, ``timer`` or ``zuul``. ``votes`` are (normal label, value), all of
    which must be there. ``pipelines`` and ``timespecs`` belong to the zuul and timer triggers.
    """

    trigger: str
    types: tuple[str, ...]
    branches: tuple[Expression, ...] = ()
    refs: tuple[Expression, ...] = ()
    ignore_deletes: bool = True
    comments: tuple[Expression, ...] = ()
    emails: tuple[Expression, ...] = ()
    usernames: tuple[Expression, ...] = ()
    votes: tuple[tuple[str, int], ...] = ()
    require_approval: tuple[VoteRequirement, ...] = ()
    reject_approval: tuple[VoteRequirement, ...] = ()
    pipelines: tuple[Expression, ...] = ()
    timespecs: tuple[str, ...] = ()
    scope: str | None = None


@dataclass(frozen=True, slots=True)
class Requirements:
    """``require`` of a pipeline; None means: not asked (layout.md 5.5)."""

    is_open: bool | None = None
    current_patchset: bool | None = None
    statuses: tuple[str, ...] = ()
    approval: tuple[VoteRequirement, ...] = ()
    wip: bool | None = None
    private: bool | None = None
    submittable: bool | None = None

    @property
    def is_empty(self) -> bool:
        return self == Requirements()


@dataclass(frozen=True, slots=True)
class GerritReporter:
    """What a review carries besides the text (layout.md 5.6, gerrit-wire.md 6.1)."""

    connection: str
    labels: tuple[tuple[str, int], ...] = ()
    flags: tuple[str, ...] = ()
    options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class SmtpReporter:
    """A mail; None means the connection's default, or the usual subject (layout.md 5.6)."""

    connection: str
    to: str | None = None
    sender: str | None = None
    subject: str | None = None


@dataclass(frozen=True, slots=True)
class SqlReporter:
    """A row in a database, with a score (layout.md 5.6)."""

    connection: str
    score: int = 0


Reporter = GerritReporter | SmtpReporter | SqlReporter


@dataclass(frozen=True, slots=True)
class Window:
    """layout.md 5.9; ``size`` 0 means unlimited. ``ceiling`` None means none."""

    size: int = 20
    floor: int = 3
    increase_type: str = "linear"
    increase_factor: int = 1
    decrease_type: str = "exponential"
    decrease_factor: int = 2
    ceiling: int | None = None


@dataclass(frozen=True, slots=True)
class Priority:
    """One entry of ``priority`` (additions.md): the first whose every expression is found gives ``value``."""

    value: int
    owner: Expression | None = None
    topic: Expression | None = None
    hashtag: Expression | None = None
    comment: Expression | None = None


@dataclass(frozen=True, slots=True)
class Pipeline:
    """One pipeline. ``merge_failure`` is as written: the fall-back to ``failure`` is the scheduler's rule."""

    name: str
    manager: str = INDEPENDENT
    source: str = "gerrit"
    triggers: tuple[EventFilter, ...] = ()
    description: str | None = None
    precedence: Precedence = Precedence.NORMAL
    success_message: str = "Build succeeded."
    failure_message: str = "Build failed."
    merge_failure_message: str = DEFAULT_MERGE_FAILURE_MESSAGE
    footer_message: str = ""
    require: Requirements = field(default_factory=Requirements)
    reject: Requirements = field(default_factory=Requirements)
    start: tuple[Reporter, ...] = ()
    success: tuple[Reporter, ...] = ()
    failure: tuple[Reporter, ...] = ()
    merge_failure: tuple[Reporter, ...] = ()
    disabled: tuple[Reporter, ...] = ()
    dequeue_on_new_patchset: bool = True
    ignore_dependencies: bool = False
    disable_after: int | None = None
    window: Window = field(default_factory=Window)
    priorities: tuple[Priority, ...] = ()
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class SkipIf:
    """Matches if all that is asked matches (layout.md 6.7)."""

    project: Expression | None = None
    branch: Expression | None = None
    all_files: tuple[Expression, ...] = ()


@dataclass(frozen=True, slots=True)
class Swift:
    """One upload destination of a job (layout.md 6.11); None means the configuration's default."""

    name: str
    container: str | None = None
    expiry: int | None = None
    max_file_size: int | None = None
    max_file_count: int | None = None
    logserver_prefix: str | None = None


class Job(NamedTuple):
    """A job after all patterns have been applied (layout.md 6.3).

    A tuple with names: a layout may have ten thousand, and dataclasses take three times as long to make.
    """

    name: str
    voting: bool = True
    hold_following_changes: bool = False
    attempts: int = 3
    queue_name: str | None = None
    mutex: str | None = None
    tags: frozenset[str] = frozenset()
    parameter_function: str | None = None
    branches: tuple[Expression, ...] = ()
    files: tuple[Expression, ...] = ()
    skip_if: tuple[SkipIf, ...] = ()
    swift: tuple[Swift, ...] = ()
    success_message: str | None = None
    failure_message: str | None = None
    success_pattern: str | None = None
    failure_pattern: str | None = None

    def pattern_for(self, result: str | None) -> str | None:
        """Its own pattern of links to a build with this result; only these two results have one."""
        return {"SUCCESS": self.success_pattern, "FAILURE": self.failure_pattern}.get(result or "")


@dataclass(frozen=True, slots=True)
class JobNode:
    """A job's place in a tree; its children run only after it succeeded."""

    job: str
    children: tuple[JobNode, ...] = ()


@dataclass(frozen=True, slots=True)
class Project:
    """``trees``: pipeline name to job tree, templates expanded. An empty tree registers the project there."""

    name: str
    merge_mode: MergeMode = MergeMode.MERGE_RESOLVE
    trees: Mapping[str, tuple[JobNode, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SharedQueue:
    """A change queue of a dependent pipeline (layout.md 9). ``name`` None: no job gives it one."""

    projects: tuple[str, ...]
    name: str | None = None

    @property
    def display_name(self) -> str:
        return self.name or ", ".join(self.projects)


@dataclass(frozen=True, slots=True)
class Layout:
    """``pipelines`` in file order; ``queues`` by pipeline name. ``jobs`` has every job that is named.

    ``memo`` is for whoever decides with it: answers that follow from the layout and are not to be worked out twice.
    """

    pipelines: tuple[Pipeline, ...] = ()
    jobs: Mapping[str, Job] = field(default_factory=dict)
    projects: Mapping[str, Project] = field(default_factory=dict)
    queues: Mapping[str, tuple[SharedQueue, ...]] = field(default_factory=dict)
    memo: dict[object, Any] = field(default_factory=dict, init=False, compare=False, repr=False)

    def job(self, name: str) -> Job:
        """A job's attributes; one that the layout does not mention has all defaults."""
        return self.jobs.get(name) or Job(name)

    def tree(self, project: str, pipeline: str) -> tuple[JobNode, ...] | None:
        """A project's job tree in a pipeline; None if it is not registered there."""
        found = self.projects.get(project)
        return found.trees.get(pipeline) if found else None

    def pipeline(self, name: str) -> Pipeline | None:
        return next((each for each in self.pipelines if each.name == name), None)
