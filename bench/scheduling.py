"""The scheduler's own time in one long queue: what each step costs with N changes in it (5 jobs each, no window)."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

from bench.figures import Figure
from ci_gate.model.build import BuildEnd
from ci_gate.model.change import Account, ChangeDetails, PatchSet, SubmitRecord, Vote
from ci_gate.model.event import Event
from ci_gate.model.layout import (
    DEPENDENT,
    EventFilter,
    GerritReporter,
    Job,
    JobNode,
    Layout,
    Pipeline,
    Project,
    SharedQueue,
    Window,
)
from ci_gate.model.merge import MergeAnswer, MergeOutcome
from ci_gate.model.options import SchedulerSettings
from ci_gate.model.report import Delivery, DeliveryOutcome
from ci_gate.scheduler.effects import (
    Effect,
    LaunchBuild,
    Merge,
    QueryChange,
    SearchChanges,
    SendReport,
    VerifySubmit,
)
from ci_gate.scheduler.inputs import (
    BuildEnded,
    ChangeAnswered,
    ChangesFound,
    EventReceived,
    Input,
    MergeAnswered,
    ReportAnswered,
    SubmitVerified,
)
from ci_gate.scheduler.scheduler import Scheduler

JOBS = tuple(f"job-{number}" for number in range(5))
WANTED = {
    10: ("< 0.3", "< 0.5", "< 1", "< 2"),
    100: ("< 0.3", "< 0.5", "< 1", "< 15"),
    1000: ("< 0.5", "< 1", "< 2", "< 150"),
}
RUNS = 5
JOINS = 20  # their mean: now and then one of them has to forget what is no longer needed
WORKFLOW = Vote("Workflow", 1, Account("Boss", None, "boss"), 1.0)


class Bench:
    """Answers what the scheduler asks at once, but for the builds; counts the scheduler's time alone.

    Changes go round the projects, each of which has a queue of its own. ``window`` 0: no limit.
    """

    def __init__(self, projects: int = 1, window: int = 0) -> None:
        pipeline = Pipeline(
            "gate",
            DEPENDENT,
            triggers=(EventFilter("gerrit", ("comment-added",), votes=(("workflow", 1),)),),
            success=(GerritReporter("gerrit", labels=(("Verified", 2),), flags=("submit",)),),
            failure=(GerritReporter("gerrit", labels=(("Verified", -2),)),),
            window=Window(size=window),
        )
        self.names = [f"demo-{number}" for number in range(projects)]
        trees = {"gate": tuple(map(JobNode, JOBS))}
        layout = Layout(
            (pipeline,),
            jobs={name: Job(name) for name in JOBS},
            projects={name: Project(name, trees=trees) for name in self.names},
            queues={"gate": tuple(SharedQueue((name,)) for name in self.names)},
        )
        self.scheduler = Scheduler(layout, options=SchedulerSettings(), oracle=None, seed=b"x" * 16, at=1.0)
        self.seconds = 0.0
        self.builds: dict[str, dict[str, str]] = {}
        self.known = 0
        self.merged: set[str] = set()

    def handle(self, message: Input) -> None:
        waiting: list[Input] = [message]
        while waiting:
            begun = time.perf_counter()
            effects = self.decide(waiting.pop(0))
            self.seconds += time.perf_counter() - begun
            for effect in effects:
                waiting += self._answers(effect)

    def decide(self, message: Input) -> list[Effect]:
        return self.scheduler.handle(message)

    def _answers(self, effect: Effect) -> list[Input]:
        match effect:
            case QueryChange():
                return [ChangeAnswered(1.0, effect.ticket, self.details(effect.number))]
            case SearchChanges():
                return [ChangesFound(1.0, effect.ticket, ())]
            case Merge():
                commit = effect.request.ref[1:].ljust(40, "0")
                return [MergeAnswered(1.0, MergeAnswer(effect.request.ref, MergeOutcome.MERGED, commit, "http://m"))]
            case LaunchBuild():
                change = str(effect.request.parameters["ZUUL_CHANGE"])
                self.builds.setdefault(change, {})[effect.request.job] = effect.request.uuid
                return []
            case SendReport():
                self.merged.add(effect.report.number)  # type: ignore[union-attr]  # reviews only
                return [ReportAnswered(1.0, effect.report_id, Delivery(DeliveryOutcome.DELIVERED))]
            case VerifySubmit():
                return [SubmitVerified(1.0, effect.item, True)]
            case _:
                return []

    def details(self, number: str) -> ChangeDetails:
        patch_set = PatchSet(
            "1", f"refs/changes/{number.zfill(2)[-2:]}/{number}/1", number.rjust(40, "0"), ("/COMMIT_MSG",)
        )
        status = "MERGED" if number in self.merged else "NEW"
        return ChangeDetails(
            "gerrit", number, self.project(number), "master", change_id="I" + number.rjust(40, "0"),
            patch_sets=(patch_set,), votes=(WORKFLOW,), submit_records=(SubmitRecord("OK"),),
            status=status, is_open=status == "NEW",
        )  # fmt: skip

    def project(self, number: str) -> str:
        return self.names[int(number) % len(self.names)]

    def join(self) -> None:
        self.known += 1
        number = str(self.known)
        project = self.project(number)
        event = Event("comment-added", "gerrit", project, "master", number, "1", account=WORKFLOW.by, votes=(WORKFLOW,))
        self.handle(EventReceived(1.0, event))

    def end(self, change: int, job: str, result: str) -> None:
        uuid = self.builds[str(change)][job]
        self.handle(BuildEnded(1.0, BuildEnd(uuid, result)))

    def time_of(self, act: Callable[[], object]) -> float:
        before = self.seconds
        act()
        return (self.seconds - before) * 1000


def _filled(size: int) -> Bench:
    bench = Bench()
    for _ in range(size):
        bench.join()
    return bench


async def measure() -> list[Figure]:
    figures = []
    for size, wanted in WANTED.items():
        ends, joins, merges, fails = [], [], [], []
        for _ in range(RUNS):
            bench = _filled(size)
            gc.collect()
            middle = size // 2 + 1
            ends.append(bench.time_of(lambda: bench.end(middle, JOBS[0], "SUCCESS")))  # noqa: B023  # called at once
            joins.append(bench.time_of(lambda: [bench.join() for _ in range(JOINS)]) / JOINS)  # noqa: B023  # as above
            for job in JOBS[:-1]:
                bench.end(1, job, "SUCCESS")
            merges.append(bench.time_of(lambda: bench.end(1, JOBS[-1], "SUCCESS")))  # noqa: B023  # as above
            for job in JOBS[:-1]:
                bench.end(2, job, "SUCCESS")
            fails.append(_time_of_failure(bench))
        acts = ("one build ends", "a change joins", "the head merges", "the head fails, all behind restart")
        for what, runs, goal in zip(acts, (ends, joins, merges, fails), wanted, strict=True):
            figures.append(Figure(f"scheduler, {size:,} in the queue: {what}", "ms", runs, goal))
    return figures


def _time_of_failure(bench: Bench) -> float:
    """The step of the failure itself: cancels, fresh build sets and requests for all merges behind it."""
    uuid = bench.builds["2"][JOBS[-1]]
    begun = time.perf_counter()
    bench.scheduler.handle(BuildEnded(1.0, BuildEnd(uuid, "FAILURE")))
    return (time.perf_counter() - begun) * 1000
