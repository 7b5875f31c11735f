"""The books of one Jenkins' bridge: its jobs as functions, its builds, what is said about them. No I/O but saying.

Gearman's server may ask for a build again: after a lost connection, after a restart of either side. Then the newer
request takes the older one's place, and hears what has become of the build, also for an hour after its end.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import structlog

from ci_gate.config.settings import JenkinsSettings
from ci_gate.jenkins.api import UUID, BuildRecord, JenkinsJob, Nodes
from ci_gate.jenkins.builds import NODE, Build, ParametersError, Phase, data_of, parameters_of
from ci_gate.jenkins.declaring import PARAMETERS
from ci_gate.jenkins.names import JobPaths
from ci_gate.worker_connection import Job

KEEP_S = 3600.0  # how long an ended build is remembered
TELL_S = 10.0  # between two reports of progress
FUNCTION = "build:"
WORDS = re.compile(r"[^\s()&|!<>\"]+")
LEAST_QUEUED = 2

log = structlog.stdlib.get_logger("ci_gate.Jenkins")


@dataclass(frozen=True, slots=True)
class Offered:
    """What a function stands for."""

    name: str
    job: JenkinsJob
    node: str | None = None


class Books:
    """``now`` is the loop's clock. ``changed`` is called when there is more or less room, with whether Jenkins is to be
    asked or told something soon."""

    def __init__(self, settings: JenkinsSettings, now: Callable[[], float], changed: Callable[[bool], None]) -> None:
        self._settings = settings
        self._paths = JobPaths(settings.job_path)
        self._now = now
        self._changed = changed
        self._jobs: dict[str, JenkinsJob] = {}
        self._offered: dict[str, Offered] = {}
        self._builds: dict[str, Build] = {}
        self._warned: dict[str, frozenset[str]] = {}
        self.nodes = Nodes(0)
        self.clock_skew_s = 0.0  # how far Jenkins' clock is ahead

    # Jobs

    @property
    def depth(self) -> int:
        return self._paths.depth

    def learn_jobs(self, found: Iterable[JenkinsJob]) -> dict[str, JenkinsJob]:
        """All that the settings choose, by the layout's name; only fit ones are offered."""
        chosen: dict[str, tuple[int, JenkinsJob]] = {}
        for job in sorted(found, key=lambda each: each.path):
            named = self._paths.name_of(job.path)
            if named is None or (self._settings.jobs and not self._settings.jobs.match(named[1])):
                continue
            rank, name = named
            if name not in chosen or rank < chosen[name][0]:
                chosen[name] = (rank, job)
        self._jobs = {name: job for name, (_, job) in chosen.items()}
        self._offered = {}
        for name, job in self._jobs.items():
            if self._fit(name, job):
                self._offer(name, job)
        return dict(self._jobs)

    def _fit(self, name: str, job: JenkinsJob) -> bool:
        """A job without the uuid is refused: Jenkins would make one build of two changes (11.1)."""
        missing = frozenset(PARAMETERS) - job.parameters
        if job.buildable and missing and self._warned.get(name) != missing:
            self._warned[name] = missing
            listed = " ".join(sorted(missing))
            if UUID in missing:
                log.error("job refused: it has to declare the parameter ZUUL_UUID", job=name, undeclared=listed)
            else:
                log.warning(
                    "job does not declare parameters, its builds will not see them", job=name, undeclared=listed
                )
        return job.buildable and UUID in job.parameters

    def _offer(self, name: str, job: JenkinsJob) -> None:
        self._offered[f"{FUNCTION}{name}"] = Offered(name, job)
        if self._settings.node_param and self._settings.node_param in job.parameters:
            for node in {label for labels in self.nodes.labels.values() for label in labels}:
                self._offered[f"{FUNCTION}{name}:{node}"] = Offered(name, job, node)

    def functions(self) -> frozenset[str]:
        """What can be asked for now: not what needs a label that has all of its builds."""
        limits = self._settings.label_limits
        if not limits:
            return frozenset(self._offered)
        used = Counter(label for build in self.active for label in build.labels)
        full = {label for label, limit in limits.items() if used[label] >= limit}
        return frozenset(
            name for name, offered in self._offered.items() if not full.intersection(self._limited(offered))
        )

    def _limited(self, offered: Offered) -> tuple[str, ...]:
        words = {offered.node} if offered.node else set(WORDS.findall(offered.job.label))
        return tuple(sorted(words & self._settings.label_limits.keys()))

    def job_named(self, name: str) -> JenkinsJob | None:
        """Ignoring case, as the plugin does."""
        lowered = name.lower()
        return self._jobs.get(name) or next((job for each, job in self._jobs.items() if each.lower() == lowered), None)

    # Builds

    @property
    def active(self) -> list[Build]:
        return [each for each in self._builds.values() if each.phase is not Phase.ENDED]

    def room(self) -> bool:
        """Whether another build may go into Jenkins' own queue."""
        limit = self._settings.max_queued or max(2 * self.nodes.executors, LEAST_QUEUED)
        return sum(1 for each in self._builds.values() if each.phase in (Phase.NEW, Phase.QUEUED)) < limit

    def build_with(self, uuid: str) -> Build | None:
        build = self._builds.get(uuid)
        return build if build and build.phase is not Phase.ENDED else None

    def build_numbered(self, name: str, number: int) -> Build | None:
        return next((each for each in self.active if (each.name, each.number) == (name, number)), None)

    def ended_as(self, name: str, number: int) -> Build | None:
        """The latest of those that are remembered."""
        ended = (each for each in reversed(self._builds.values()) if each.phase is Phase.ENDED)
        return next((each for each in ended if (each.name, each.number) == (name, number)), None)

    def ask(self, claim: Job) -> None:
        """A build is asked for by the Gearman server."""
        self._forget_old()
        known = self._builds.get(claim.unique)
        if known is not None:
            self._claim_again(known, claim)
            return
        offered = self._offered.get(claim.function)
        if offered is None:
            claim.fail()  # the function was withdrawn meanwhile
            return
        try:
            parameters = parameters_of(claim.arguments, claim.unique)
        except ParametersError as problem:
            claim.exception(str(problem))
            return
        node = offered.node or parameters.get(NODE)
        if node and self._settings.node_param:
            parameters[self._settings.node_param] = node
        build = Build(claim.unique, offered.name, offered.job, parameters, self._limited(offered), claim)
        self._builds[build.uuid] = build
        self._tell_manager(build)
        self._changed(True)

    def _claim_again(self, build: Build, claim: Job) -> None:
        build.claim = claim
        if build.phase is Phase.ENDED:
            self._answer(build)
        elif build.phase is Phase.RUNNING:
            self._tell_start(build)
        else:
            self._tell_manager(build)

    def unclaim(self) -> None:
        """A connection is lost: builds go on, and what they end with is kept."""
        for build in self._builds.values():
            if build.claim is not None and not build.claim.is_ours:
                build.claim = None

    def stop(self, build: Build) -> None:
        if build.stop_at is None:
            log.info("stopping build", job=build.name, number=build.number, uuid=build.uuid)
            build.stop_at = self._now()
            self._changed(True)

    def queued(self, build: Build, item: int | None) -> None:
        build.phase, build.unsure, build.misses = Phase.QUEUED, False, 0
        build.item = item if item is not None else build.item

    def runs(self, build: Build, record: BuildRecord, session: str | None) -> None:
        """``session`` is that of Jenkins in which it was seen."""
        first = build.phase is not Phase.RUNNING
        build.phase, build.record, build.session = Phase.RUNNING, record, session
        if first:
            log.info("build started", job=build.name, number=record.number, uuid=build.uuid)
            self._tell_start(build)
            self._changed(False)

    def progress(self, build: Build, elapsed_s: float) -> None:
        """Tell how far it is, now and then."""
        record = build.record
        if build.claim is None or record is None or self._now() - build.told_at < TELL_S:
            return
        build.told_at = self._now()
        estimate_ms = -1 if record.estimate_s is None else round(record.estimate_s * 1000)
        build.claim.status(max(0, round(elapsed_s * 1000)), estimate_ms)

    def finished(self, build: Build, record: BuildRecord) -> None:
        """It has a result of its own. One that began since the last look has begun all the same (4)."""
        build.record = record
        if build.phase is not Phase.RUNNING:
            self._tell_start(build)
        self._end(build, self._data(build) | {"result": record.result})

    def refused(self, build: Build, result: str, reason: str) -> None:
        """The gate's own results for what Jenkins does not take: NOT_REGISTERED, EXCEPTION."""
        log.warning("build cannot be started", job=build.name, uuid=build.uuid, result=result, reason=reason)
        self._end(build, self._data(build) | {"result": result})

    def lost(self, build: Build, reason: str) -> None:
        log.warning("build lost, the gate will launch another", job=build.name, uuid=build.uuid, reason=reason)
        self._end(build, None)

    def _end(self, build: Build, answer: Mapping[str, object] | None) -> None:
        build.phase, build.answer, build.ended_at = Phase.ENDED, answer, self._now()
        log.info("build ended", job=build.name, uuid=build.uuid, result=(answer or {}).get("result"))
        self._answer(build)
        self._changed(False)

    def _answer(self, build: Build) -> None:
        if build.claim is None:
            return
        if build.answer is None:
            build.claim.fail()
        else:
            build.claim.complete(build.answer)

    def _tell_manager(self, build: Build) -> None:
        """So that it can be stopped before it has a number: while it waits in Jenkins' own queue."""
        if build.claim is not None:
            build.claim.data(self._data(build))

    def _tell_start(self, build: Build) -> None:
        if build.claim is not None:
            build.claim.data(self._data(build))
            build.told_at = 0.0

    def _data(self, build: Build) -> dict[str, object]:
        node = (build.record.built_on if build.record else None) or ""
        labels = self.nodes.labels.get(node, ())
        return data_of(build, self._settings.name, self._settings.url, labels, self.clock_skew_s)

    def _forget_old(self) -> None:
        latest = self._now() - KEEP_S
        old = [each.uuid for each in self._builds.values() if each.phase is Phase.ENDED and each.ended_at < latest]
        for uuid in old:
            del self._builds[uuid]
