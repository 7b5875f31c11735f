"""What the bridge knows of each build, and what follows from a look at Jenkins (gearman-jenkins.md 11, 13, 15). Pure.

A build is told from others by its uuid, which is a parameter of the queue item and of the build: whatever was started
under it, by this process or one before it, is found before anything is started.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from ci_gate.jenkins.api import UUID, BuildRecord, JenkinsJob, QueueItem
from ci_gate.worker_connection import Job

NODE = "ZUUL_NODE"
OFFLINE = "OFFLINE_NODE_WHEN_COMPLETE"
YES = frozenset({"1", "true", "True", "TRUE"})
SURE = 3  # looks in a row that do not show a build before it counts as not there
DIES_WITH_JENKINS = frozenset({"ABORTED", "FAILURE"})


class Phase(Enum):
    NEW = auto()  # to be looked for, then to be started
    QUEUED = auto()  # in Jenkins' queue
    RUNNING = auto()
    ENDED = auto()


@dataclass(slots=True)
class Build:
    """``claim`` is the Gearman job that asks for it, None after its connection was lost. ``answer`` is the last thing
    to say, None: no result, so that the gate launches another. Times by the loop's clock."""

    uuid: str
    name: str
    job: JenkinsJob
    parameters: Mapping[str, str]
    labels: tuple[str, ...] = ()  # those with a limit
    claim: Job | None = None
    phase: Phase = Phase.NEW
    unsure: bool = False  # it was sent, and what became of it is not known
    misses: int = 0
    refusals: int = 0
    item: int | None = None
    record: BuildRecord | None = None
    session: str | None = None  # Jenkins' own, when it was seen running
    stop_at: float | None = None
    stops: int = 0
    told_at: float = 0.0
    ended_at: float = 0.0
    answer: Mapping[str, object] | None = None

    @property
    def number(self) -> int | None:
        return self.record.number if self.record else None


@dataclass(frozen=True, slots=True)
class Look:
    """One look at Jenkins: what waits and what runs, by uuid. ``session`` None: Jenkins does not tell."""

    queue: Mapping[str, QueueItem] = field(default_factory=dict)
    records: Mapping[str, BuildRecord] = field(default_factory=dict)
    session: str | None = None


@dataclass(frozen=True, slots=True)
class Start:
    """Nothing is there yet."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do now."""


@dataclass(frozen=True, slots=True)
class IsQueued:
    item: int


@dataclass(frozen=True, slots=True)
class AskItem:
    """It has left the queue: into which build?"""

    item: int


@dataclass(frozen=True, slots=True)
class AskBuild:
    """It is not among the latest builds of its job any more."""

    number: int


@dataclass(frozen=True, slots=True)
class Runs:
    record: BuildRecord


@dataclass(frozen=True, slots=True)
class Finished:
    record: BuildRecord


@dataclass(frozen=True, slots=True)
class Lost:
    """Gone without a result of its own: the gate is to launch another."""

    reason: str


Step = Start | Wait | IsQueued | AskItem | AskBuild | Runs | Finished | Lost


def next_step(build: Build, look: Look) -> Step:
    """What a look means for a build; counts the looks that did not show it."""
    record = look.records.get(build.uuid)
    if record is not None and build.number in (None, record.number):
        build.misses = 0
        return step_of(build, record, look.session)
    if build.number is not None:
        return AskBuild(build.number)
    item = look.queue.get(build.uuid)
    if item is not None:
        build.misses = 0
        return Lost("somebody took it out of Jenkins' queue") if item.cancelled else IsQueued(item.id)
    return _missing(build)


def step_of(build: Build, record: BuildRecord, session: str | None) -> Step:
    """What a build's own record says."""
    if record.uuid != build.uuid:
        return Lost("its number belongs to another build now")
    if record.building or record.result is None:
        return Runs(record)
    restarted = None not in (build.session, session) and build.session != session
    if restarted and not build.job.pipeline and record.result in DIES_WITH_JENKINS:
        return Lost("Jenkins was restarted while it ran")
    return Finished(record)


def _missing(build: Build) -> Step:
    if build.phase is Phase.NEW and not build.unsure:
        return Start()
    build.misses += 1
    if build.phase is Phase.QUEUED and build.item is not None:
        return AskItem(build.item)
    if build.misses < SURE:
        return Wait()
    build.misses = 0
    return Start() if build.phase is Phase.NEW else Lost("it is neither in Jenkins' queue nor among its builds")


def data_of(
    build: Build, manager: str, url: str, node_labels: tuple[str, ...], clock_skew_s: float = 0.0
) -> dict[str, object]:
    """WORK_DATA as the Jenkins plugin says it (6.3), and its times by our clock (15). Pipelines name no node.

    The uuid says that the manager knows the build by it too (11.6).
    """
    data: dict[str, object] = {
        "name": build.name, "manager": manager, "worker": f"{manager}_bridge", "uuid": build.uuid,
    }  # fmt: skip
    record = build.record
    if record is not None:
        data |= {"number": record.number, "url": record.url or url}
        if record.timestamp:
            data["started_at"] = record.timestamp - clock_skew_s
            if not record.building and record.duration_s is not None:
                data["ended_at"] = record.timestamp - clock_skew_s + record.duration_s
        if record.built_on is not None and not build.job.pipeline:
            data |= {"node_name": record.built_on or "master", "node_labels": list(node_labels)}
    return data


class ParametersError(Exception):
    """What was sent cannot become parameters of a build."""


def parameters_of(arguments: bytes, unique: str) -> dict[str, str]:
    """A job's parameters as text. Raises ParametersError for what is no flat JSON object (section 3)."""
    try:
        values = json.loads(arguments or b"{}")
    except (ValueError, RecursionError) as problem:
        raise ParametersError(f"the parameters are not JSON: {problem}") from problem
    if not isinstance(values, dict):
        raise ParametersError("the parameters are not a JSON object")
    texts = {}
    for name, value in values.items():
        if isinstance(value, dict | list):
            raise ParametersError(f"the parameter {name} is neither text nor a number")
        if value is not None:  # the job's own default counts
            texts[name] = value if isinstance(value, str) else json.dumps(value)
    texts[UUID] = unique
    return texts
