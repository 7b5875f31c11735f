"""A scripted world around the scheduler: it answers queries and merges at once and names things as the tables do.

Changes are called A, B, …; the second patch set of A is A2. Names of merged refs are z1, z2, … in order of first use.
What a step did is a list of texts, as in ``spec/walkthroughs.md``: ``merge A→z1``, ``launch lint for [A] on z1``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ci_gate.model.build import BuildEnd, BuildUpdate
from ci_gate.model.change import Account, ChangeDetails, PatchSet, SubmitLabel, SubmitRecord, Vote
from ci_gate.model.event import Event
from ci_gate.model.expression import Expression
from ci_gate.model.item import ItemView
from ci_gate.model.layout import (
    EventFilter,
    GerritReporter,
    Job,
    JobNode,
    Layout,
    Pipeline,
    Project,
    SkipIf,
)
from ci_gate.model.merge import BaseCommit, MergeAnswer, MergeOutcome
from ci_gate.model.options import SchedulerSettings
from ci_gate.model.report import Delivery, DeliveryOutcome, ResultRecord, Review
from ci_gate.model.search import Search, SearchKind
from ci_gate.scheduler.effects import (
    CancelBuild,
    DescribeBuilds,
    Effect,
    LaunchBuild,
    Merge,
    QueryChange,
    RecordHistory,
    RecordRunTime,
    SearchChanges,
    SendReport,
    SetTimer,
    UpdateRepository,
    VerifySubmit,
)
from ci_gate.scheduler.explain import Code, Decision
from ci_gate.scheduler.inputs import (
    BuildEnded,
    BuildUpdated,
    ChangeAnswered,
    ChangesFound,
    EventReceived,
    Input,
    MergeAnswered,
    QueryFailed,
    ReportAnswered,
    SubmitVerified,
    TimerFired,
)
from ci_gate.scheduler.oracle import Answer
from ci_gate.scheduler.scheduler import Scheduler

READY = SubmitRecord("NOT_READY", (SubmitLabel("Code-Review", "OK"), SubmitLabel("Verified", "NEED")))
NOT_READY = SubmitRecord("NOT_READY", (SubmitLabel("Code-Review", "NEED"), SubmitLabel("Verified", "NEED")))
SEED = b"sixteen bytes !!"
JOE = Account("Joe", "joe@example.org", "joe")


def tree(*entries: str | Mapping[str, list]) -> tuple[JobNode, ...]:
    """``tree("lint", {"unit": ["integ"]})`` as a layout would write it."""
    nodes: list[JobNode] = []
    for entry in entries:
        if isinstance(entry, str):
            nodes.append(JobNode(entry))
        else:
            nodes.extend(JobNode(parent, tree(*children)) for parent, children in entry.items())
    return tuple(nodes)


def project(name: str, **pipelines: list) -> Project:
    return Project(name, trees={pipeline: tree(*entries) for pipeline, entries in pipelines.items()})


def gerrit_filter(*types: str, **wanted: object) -> EventFilter:
    return EventFilter("gerrit", types, **wanted)


def votes(**labels: int) -> tuple[GerritReporter, ...]:
    return (GerritReporter("gerrit", labels=tuple(labels.items())),)


def check_pipeline(**changed: object) -> Pipeline:
    pipeline = Pipeline(
        "check",
        triggers=(
            gerrit_filter("patchset-created", "change-restored"),
            gerrit_filter("comment-added", comments=(Expression("(?mi)^recheck$"),)),
        ),
        success=votes(Verified=1),
        failure=votes(Verified=-1),
    )
    return replace(pipeline, **changed)


JOBS = {
    job.name: job
    for job in (
        Job("perf", voting=False),
        Job("manual", files=(Expression("^doc/"),)),
        Job("old-only", branches=(Expression("^old/"),)),
        Job("slow-tests", skip_if=(SkipIf(all_files=(Expression("^doc/"), Expression(".*[.]md$"))),)),
    )
}

PROJECTS = {
    each.name: each
    for each in (
        project("demo/app", check=["lint", {"unit": ["integ", "perf"]}]),
        project("demo/lib", check=["lib-unit"]),
        project("demo/one", check=["one"]),
        project("demo/filters", check=["lint", "manual", "old-only", "slow-tests"]),
        project("demo/silent", quiet=["one"]),
        project("demo/nothing"),
    )
}


def layout(
    *pipelines: Pipeline,
    jobs: Mapping[str, Job] | None = None,
    projects: tuple[Project, ...] = (),
) -> Layout:
    return Layout(
        pipelines or (check_pipeline(),),
        jobs={**JOBS, **(jobs or {})},
        projects={**PROJECTS, **{each.name: each for each in projects}},
    )


@dataclass
class NoFunctions:
    """An oracle for layouts without functions: asking it is a mistake of the test."""

    def edit_parameters(self, item: ItemView, job: Job, parameters: dict[str, object]) -> Answer:
        raise AssertionError(f"{job.name} has no parameter function")


@dataclass
class World:
    """``at`` is the time of the next input. Gerrit knows ``changes``; ``unmergeable`` are changes in conflict,
    ``tips`` the commits of branches.

    ``decisions`` are all so far; each is made into text as it comes, so that none can fail to.
    """

    layout: Layout = field(default_factory=layout)
    options: SchedulerSettings = field(default_factory=SchedulerSettings)
    oracle: object = field(default_factory=NoFunctions)
    at: float = 1_000_000.0
    changes: dict[str, ChangeDetails] = field(default_factory=dict)
    unmergeable: set[str] = field(default_factory=set)
    tips: dict[str, str] = field(default_factory=dict)
    merge_outcomes: list[MergeOutcome] = field(default_factory=list)
    answers_queries: bool = True
    answers_merges: bool = True
    answers_reports: bool = True
    answers_verification: bool = True
    as_built: bool = True
    refuses_to_submit: set[str] = field(default_factory=set)
    event_delays: dict[str, float] = field(default_factory=dict)
    pending: list[Effect] = field(default_factory=list)
    all_effects: list[Effect] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.scheduler = Scheduler(
            self.layout,
            options=self.options,
            oracle=self.oracle,
            seed=SEED,
            at=self.at,
            event_delays=self.event_delays,
        )
        self._ref_names: dict[str, str] = {}
        self._refs_of: dict[str, str] = {}
        self._changes_of: dict[str, str] = {}
        self.requests: dict[tuple[str, str], str] = {}

    # --- changes ---

    def create(self, name: str, project: str = "demo/one", **known: object) -> None:
        """Gerrit has a new change; nobody was told yet. ``files`` are those of its first patch set."""
        number = str(ord(name) - ord("A") + 1)
        files = known.pop("files", ("/COMMIT_MSG", "a.txt"))
        self.changes[number] = ChangeDetails(
            "gerrit",
            number,
            project,
            str(known.pop("branch", "master")),
            change_id=change_id_of(name),
            patch_sets=(_patch_set(number, 1, files),),
            **known,
        )

    def details(self, name: str) -> ChangeDetails:
        return self.changes[str(ord(name) - ord("A") + 1)]

    def change(self, name: str, **changed: object) -> None:
        details = self.details(name)
        self.changes[details.number] = replace(details, **changed)

    def event(self, type_: str, name: str, **given: object) -> Event:
        details = self.details(name)
        known = {
            "project": details.project,
            "branch": details.branch,
            "number": details.number,
            "patchset": details.current_patchset,
            "account": JOE,
            "change_id": details.change_id,
        }
        return Event(type_, "gerrit", **{**known, **given})

    # --- what happens ---

    def upload(self, name: str, project: str = "demo/one", **known: object) -> list[str]:
        self.create(name, project, **known)
        return self.tell(self.event("patchset-created", name))

    def add_patch_set(self, name: str) -> None:
        """Gerrit has it; nobody was told yet."""
        details = self.details(name)
        following = _patch_set(details.number, len(details.patch_sets) + 1, ("/COMMIT_MSG", "a.txt"))
        self.change(name, patch_sets=(*details.patch_sets, following))

    def new_patch_set(self, name: str) -> list[str]:
        self.add_patch_set(name)
        return self.tell(self.event("patchset-created", name))

    def comment(self, name: str, text: str, **given: object) -> list[str]:
        """Comments come as Gerrit writes them, below a header line."""
        header = f"Patch Set {self.details(name).current_patchset}:"
        return self.tell(self.event("comment-added", name, comment=f"{header}\n\n{text}", **given))

    def abandon(self, name: str) -> list[str]:
        self.change(name, status="ABANDONED", is_open=False)
        return self.tell(self.event("change-abandoned", name))

    def restore(self, name: str) -> list[str]:
        self.change(name, status="NEW", is_open=True)
        return self.tell(self.event("change-restored", name))

    def tell(self, event: Event) -> list[str]:
        return self.step(EventReceived(self.at, event))

    def starts(self, job: str, name: str, number: int = 1) -> list[str]:
        uuid = self.requests[job, name]
        return self.step(BuildUpdated(self.at, BuildUpdate(uuid, started=True, number=number, manager="m")))

    def ends(self, job: str, name: str, result: str | None = "SUCCESS", **given: object) -> list[str]:
        """A build ends; one that has not been said to run starts first, in the same row."""
        uuid = self.requests[job, name]
        return self.step(BuildEnded(self.at, BuildEnd(uuid, result, **given)))

    def step(self, message: Input) -> list[str]:
        """Handle an input and answer at once what the world answers at once; tell what was done."""
        effects = self.scheduler.handle(message)
        answers: list[Input] = []
        told: list[str] = []
        while True:
            self.decisions.extend(self.scheduler.last_decisions)
            assert all(each.text for each in self.scheduler.last_decisions)
            self.all_effects.extend(effects)
            for effect in effects:
                told.extend(self._tell(effect))
                answers.extend(self._answer(effect))
            if not answers:
                return told
            effects = self.scheduler.handle(answers.pop(0))

    def fire_timers(self, until: float) -> list[str]:
        """Let the time pass: every timer that is due by ``until`` fires, earliest first."""
        told: list[str] = []
        while due := sorted(
            (each for each in self.pending if isinstance(each, SetTimer) and each.at <= until),
            key=lambda each: each.at,
        ):
            self.pending.remove(due[0])
            self.at = max(self.at, due[0].at)
            told.extend(self.step(TimerFired(self.at, due[0].timer)))
        self.at = max(self.at, until)
        return told

    def _answer(self, effect: Effect) -> list[Input]:
        match effect:
            case QueryChange() if self.answers_queries:
                return [ChangeAnswered(self.at, effect.ticket, self.changes.get(effect.number))]
            case SearchChanges() if self.answers_queries:
                return [ChangesFound(self.at, effect.ticket, self.search(effect.search))]
            case Merge() if self.answers_merges:
                return [self.merge_answer(effect)]
            case UpdateRepository() if self.answers_merges:
                answer = MergeAnswer(effect.request.name, MergeOutcome.MERGED, url="http://merger/p")
                return [MergeAnswered(self.at, answer)]
            case SendReport() if self.answers_reports:
                self._submit(effect.report)
                return [ReportAnswered(self.at, effect.report_id, Delivery(DeliveryOutcome.DELIVERED))]
            case VerifySubmit() if self.answers_verification:
                merged = self.changes[effect.number].status == "MERGED"
                reason = "" if merged else "Gerrit did not submit it"
                return [SubmitVerified(self.at, effect.item, merged, reason, as_built=merged and self.as_built)]
            case LaunchBuild() | CancelBuild() | DescribeBuilds() | RecordRunTime() | RecordHistory():
                return []
            case _:
                self.pending.append(effect)
                return []

    def _submit(self, report: object) -> None:
        submits = isinstance(report, Review) and "submit" in report.flags
        if submits and self._name(report.number, report.patchset) not in self.refuses_to_submit:
            self.changes[report.number] = replace(self.changes[report.number], status="MERGED", is_open=False)

    def search(self, search: Search) -> tuple[ChangeDetails, ...]:
        """Newest first, as Gerrit's answers are."""
        found = {
            SearchKind.CHANGE_ID: lambda each: each.change_id == search.value,
            SearchKind.MENTIONS: lambda each: search.value in each.commit_message,
            SearchKind.MENTIONS_ADDRESS: lambda each: f"/c/{search.value}" in each.commit_message,
            SearchKind.OPEN_IN_PROJECT: lambda each: each.project == search.value and each.is_open,
        }[search.kind]
        return tuple(each for each in reversed(self.changes.values()) if found(each))

    def merge_answer(self, effect: Merge) -> MergeAnswered:
        request = effect.request
        if self.merge_outcomes:
            outcome = self.merge_outcomes.pop(0)
        elif self._name(request.number, request.patchset) in self.unmergeable:
            outcome = MergeOutcome.CONFLICT
        else:
            outcome = MergeOutcome.MERGED
        commit = request.ref[1:].ljust(40, "0") if outcome is MergeOutcome.MERGED else None
        bases = (BaseCommit(request.project, request.branch, self.tips.get(request.branch, "0" * 40)),)
        return MergeAnswered(self.at, MergeAnswer(request.ref, outcome, commit, "http://merger/p", bases))

    def answer_query(self, effect: QueryChange) -> list[str]:
        self.pending.remove(effect)
        return self.step(ChangeAnswered(self.at, effect.ticket, self.changes.get(effect.number)))

    def query_fails(self, effect: QueryChange, *, transient: bool = True) -> list[str]:
        self.pending.remove(effect)
        return self.step(QueryFailed(self.at, effect.ticket, "no answer", transient))

    def delivers(
        self, effect: SendReport, outcome: DeliveryOutcome = DeliveryOutcome.DELIVERED, text: str = ""
    ) -> list[str]:
        self.pending.remove(effect)
        return self.step(ReportAnswered(self.at, effect.report_id, Delivery(outcome, text)))

    def outstanding(self, kind: type) -> list:
        return [each for each in self.pending if isinstance(each, kind)]

    def sent(self) -> list[SendReport]:
        """Every report that was handed over for sending, repeats included."""
        return [each for each in self.all_effects if isinstance(each, SendReport)]

    def codes(self) -> list[Code]:
        return [each.code for each in self.decisions]

    # --- how it is told ---

    def _tell(self, effect: Effect) -> list[str]:
        match effect:
            case Merge():
                request = effect.request
                name = self._name(request.number, request.patchset)
                self._changes_of[request.ref] = name
                return [f"merge {name}→{self._ref(request.ref)}"]
            case UpdateRepository():
                return [f"update repository {effect.request.project}"]
            case LaunchBuild():
                return [self._tell_launch(effect)]
            case CancelBuild():
                return [f"cancel {self._refs_of[effect.uuid]}"]
            case SendReport():
                return [self._tell_report(effect)]
            case _:
                return []

    def _tell_launch(self, effect: LaunchBuild) -> str:
        request = effect.request
        ids = (request.parameters.get("ZUUL_CHANGE_IDS") or "").split()
        names = [self._name(*each.split(",")) for each in ids]
        subject = names[-1] if names else request.parameters["ZUUL_PROJECT"]
        self.requests[request.job, str(subject)] = request.uuid
        self._refs_of[request.uuid] = f"{request.job} of {subject}"
        if not names:
            return f"launch {request.job} for ref {request.parameters.get('ZUUL_REF')}"
        ref = self._ref(str(request.parameters["ZUUL_REF"]).rpartition("/")[2])
        return f"launch {request.job} for [{' '.join(names)}] on {ref}"

    def _tell_report(self, effect: SendReport) -> str:
        report = effect.report
        if isinstance(report, ResultRecord):
            return f"record of {report.project}: {report.message}"
        if not isinstance(report, Review):
            return f"mail to {report.to}: {report.subject}"
        labels = " ".join(f"{label}={value:+}" for label, value in report.labels)
        first, *lines = report.message.splitlines()
        jobs = [line[2:].replace(" : ", " ") for line in lines if line.startswith("- ")]
        name = self._name(report.number, report.patchset)
        return f"report {name}: {first} ({labels})" + "".join(f"; {each}" for each in jobs)

    def _ref(self, name: str) -> str:
        return self._ref_names.setdefault(name, f"z{len(self._ref_names) + 1}")

    def _name(self, number: str, patchset: str) -> str:
        letter = chr(ord("A") + int(number) - 1)
        return letter if patchset == "1" else f"{letter}{patchset}"

    def queues(self) -> dict[str, list[str]]:
        """Pipeline to the names of what is inside, reported items that only wait for Gerrit included."""
        found: dict[str, list[str]] = {}
        for pipeline in self.scheduler.view().pipelines:
            for queue in pipeline.queues:
                for head in queue.heads:
                    for item in head:
                        found.setdefault(pipeline.name, []).append(self._describe(item))
        return found

    def _describe(self, item: ItemView) -> str:
        subject = item.subject
        name = self._name(subject.number, subject.patchset) if hasattr(subject, "number") else str(subject.key)
        return f"{name} (failing)" if item.failing_reasons else name


def change_id_of(name: str) -> str:
    return "I" + f"{ord(name):x}" * 20


def _patch_set(number: str, patchset: int, files: object) -> PatchSet:
    ref = f"refs/changes/{number.zfill(2)[-2:]}/{number}/{patchset}"
    return PatchSet(str(patchset), ref, f"{int(number):x}{patchset:x}".ljust(40, "0"), tuple(files))


def vote(label: str, value: int, by: Account | None = None, granted_on: float | None = None) -> Vote:
    return Vote(label, value, by, granted_on)
