"""A world that does what it likes: the scheduler's counterpart for random sequences of inputs.

It remembers every effect that still wants an answer, gives answers of any kind in any order, and says at once when
an effect contradicts the rules of scheduler.md 20.
"""

from __future__ import annotations

from dataclasses import replace

from scripted_world import SEED, gerrit_filter, project, votes

from ci_gate.model.build import BuildEnd, BuildUpdate
from ci_gate.model.change import Account, ChangeDetails, PatchSet, Vote
from ci_gate.model.event import Event
from ci_gate.model.expression import Expression
from ci_gate.model.item import ItemView
from ci_gate.model.layout import Job, Layout, Pipeline, SmtpReporter, VoteRequirement
from ci_gate.model.merge import MergeAnswer, MergeOutcome
from ci_gate.model.options import SchedulerSettings
from ci_gate.model.report import Delivery, DeliveryOutcome, Review
from ci_gate.scheduler.effects import (
    CancelBuild,
    Effect,
    LaunchBuild,
    Merge,
    QueryChange,
    RecordRunTime,
    SendReport,
    SetTimer,
    UpdateRepository,
)
from ci_gate.scheduler.inputs import (
    BuildEnded,
    BuildUpdated,
    ChangeAnswered,
    EventReceived,
    Input,
    MergeAnswered,
    QueryFailed,
    ReportAnswered,
    TimerFired,
)
from ci_gate.scheduler.oracle import Answer
from ci_gate.scheduler.scheduler import Scheduler

CONNECTIONS = ("gerrit", "other")
PROJECTS = ("demo/app", "demo/lib", "demo/nothing", "demo/unknown")
PEOPLE = (Account("Joe", "joe@example.org", "joe"), Account("Ann", None, "ann"), None)
MUTEXES = {"one": "rack", "soak": "rack"}

MAIL = SmtpReporter("mail", to="qa@example.org")
CHECK = Pipeline(
    "check",
    triggers=(
        gerrit_filter("patchset-created", "change-restored"),
        gerrit_filter("comment-added", comments=(Expression("(?m)^recheck$"),)),
    ),
    start=votes(Verified=0),
    success=votes(Verified=1),
    failure=(MAIL, *votes(Verified=-1)),
    disabled=(MAIL,),
    disable_after=3,
)
KEEPING = Pipeline(
    "keeping",
    triggers=(gerrit_filter("patchset-created", "comment-added", require_approval=()),),
    reject=replace(CHECK.reject, approval=(VoteRequirement(labels=(("verified", frozenset({-1})),)),)),
    success=votes(Keeping=1),
    dequeue_on_new_patchset=False,
)
OTHER = replace(
    CHECK,
    name="other",
    source="other",
    triggers=tuple(replace(each, trigger="other") for each in CHECK.triggers),
    start=(),
)
POST = Pipeline("post", triggers=(gerrit_filter("ref-updated"),), failure=(MAIL,))

LAYOUT = Layout(
    (CHECK, KEEPING, OTHER, POST),
    jobs={
        job.name: job
        for job in (
            Job("one", mutex="rack"),
            Job("soak", mutex="rack", attempts=1, voting=False),
            Job("stable", branches=(Expression("stable"),)),
            Job("doc", files=(Expression("^doc/"),)),
            Job("broken", parameter_function="breaks", voting=False),
            Job("tuned", parameter_function="tunes"),
        )
    },
    projects={
        each.name: each
        for each in (
            project(
                "demo/app",
                check=["noop", "one", {"unit": ["deep", "stable"]}, {"deep": ["deeper", "doc"]}],
                keeping=[{"stable": ["one", "soak"]}, "tuned", {"broken": ["tuned", "unit"]}],
                other=["one"],
                post=["publish", {"stable": ["doc"]}],
            ),
            project("demo/lib", check=[{"one": ["soak"]}, "soak"], keeping=["stable"], other=["unit", "one"]),
            project("demo/nothing"),
        )
    },
)


class Functions:
    """``tunes`` sets what may be set, ``breaks`` raises or leaves what cannot be sent."""

    def edit_parameters(self, item: ItemView, job: Job, parameters: dict[str, object]) -> Answer:
        if job.parameter_function == "tunes":
            return Answer({**parameters, "ZUUL_NODE": "node", "COUNT": len(item.jobs), "NONE": None})
        if item.ref and item.ref[-1] in "01234567":
            return Answer(parameters, error="ValueError: broken")
        return Answer({**parameters, "LIST": [1]})


def new_scheduler() -> Scheduler:
    return Scheduler(
        LAYOUT,
        options=SchedulerSettings(url_pattern="http://logs/{build.parameters[LOG_PATH]}"),
        oracle=Functions(),
        seed=SEED,
        at=1_000_000.0,
        event_delays={"other": 3.0},
    )


class RandomWorld:
    """``queries``, ``merges``, ``builds`` and ``reports`` are those that want an answer; ``timers`` those set."""

    def __init__(self) -> None:
        self.scheduler = new_scheduler()
        self.at = 1_000_000.0
        self.inputs: list[Input] = []
        self.effects: list[list[Effect]] = []
        self.changes: dict[tuple[str, str], ChangeDetails] = {}
        self.earlier: dict[tuple[str, str], list[ChangeDetails]] = {}
        self.queries: dict[int, QueryChange] = {}
        self.merges: dict[str, Merge | UpdateRepository] = {}
        self.merged: set[str] = set()
        self.builds: dict[str, str] = {}
        self.fates: dict[str, str] = {}
        self.reports: dict[int, SendReport] = {}
        self.sent: set[int] = set()
        self.settled: set[int] = set()
        self.timers: list[SetTimer] = []
        self.past_timers: list[str] = []

    # --- inputs ---

    def handle(self, message: Input) -> None:
        effects = self.scheduler.handle(message)
        assert all(each.text for each in self.scheduler.last_decisions)
        self.inputs.append(message)
        self.effects.append(effects)
        for effect in effects:
            self._take(effect)

    def tell(self, type_: str, change: tuple[str, str], person: Account | None = None, **given: object) -> None:
        details = self.changes[change]
        event = Event(
            type_,
            details.connection,
            details.project,
            details.branch,
            details.number,
            details.current_patchset,
            account=person,
            created_on=int(self.at),
        )
        self.handle(EventReceived(self.at, replace(event, **given)))

    def alter(self, change: tuple[str, str], **changed: object) -> None:
        """Gerrit's data change; a query whose index lags may still tell of the former ones."""
        self.earlier.setdefault(change, []).append(self.changes[change])
        self.changes[change] = replace(self.changes[change], **changed)

    def create(self, connection: str, project: str, branch: str) -> tuple[str, str]:
        change = (connection, str(len(self.changes) + 1))
        self.changes[change] = ChangeDetails(connection, change[1], project, branch)
        self.add_patch_set(change)
        return change

    def add_patch_set(self, change: tuple[str, str]) -> None:
        details = self.changes[change]
        number = str(len(details.patch_sets) + 1)
        files = ("/COMMIT_MSG", "doc/a.txt" if int(number) % 2 else "src/a.c")
        ref = f"refs/changes/{change[1].zfill(2)}/{change[1]}/{number}"
        following = PatchSet(number, ref, number * 40, files)
        self.alter(change, patch_sets=(*details.patch_sets, following), votes=())

    def vote(self, change: tuple[str, str], person: Account | None, value: int) -> Vote:
        kept = tuple(each for each in self.changes[change].votes if each.by != person)
        self.alter(change, votes=(*kept, Vote("Verified", value, person, self.at)))
        return Vote("Verified", value)

    def answer_query(self, ticket: int, how: str) -> None:
        query = self.queries.pop(ticket)
        change = (query.connection, query.number)
        known = {"true": self.changes.get(change), "late": self.earlier.get(change, [None])[-1], "none": None}
        if how in known:
            self.handle(ChangeAnswered(self.at, ticket, known[how]))
        else:
            self.handle(QueryFailed(self.at, ticket, "no answer", transient=how == "failed"))

    def answer_merge(self, name: str, outcome: MergeOutcome) -> None:
        self.merges.pop(name, None)
        commit = name[1:].ljust(40, "0") if outcome is MergeOutcome.MERGED else None
        if outcome is MergeOutcome.MERGED:
            self.merged.add(name)
        self.handle(MergeAnswered(self.at, MergeAnswer(name, outcome, commit, "http://merger/p", detail="why")))

    def update_build(self, uuid: str, number: int) -> None:
        update = BuildUpdate(uuid, started=True, number=number, url=f"http://jenkins/{number}/", estimate_s=5.0)
        self.handle(BuildUpdated(self.at, update))

    def end_build(self, uuid: str, result: str | None, *, counted: bool = True) -> None:
        if self.builds.pop(uuid, None) is not None:
            self.fates[uuid] = "ended"
        self.handle(BuildEnded(self.at, BuildEnd(uuid, result, counted, "lost" if not result else "")))

    def answer_report(self, number: int, outcome: DeliveryOutcome) -> None:
        if self.reports.pop(number, None) is not None and outcome is DeliveryOutcome.DELIVERED:
            self.settled.add(number)
        self.handle(ReportAnswered(self.at, number, Delivery(outcome, "" if outcome == "delivered" else "why")))

    def pass_time(self, seconds: float) -> None:
        until = self.at + seconds
        while due := [each for each in self.timers if each.at <= until]:
            first = min(due, key=lambda each: each.at)
            self.timers.remove(first)
            self.at = max(self.at, first.at)
            self.past_timers.append(first.timer)
            self.handle(TimerFired(self.at, first.timer))
        self.at = until

    # --- what effects may be ---

    def _take(self, effect: Effect) -> None:
        match effect:
            case QueryChange():
                asked = {(each.connection, each.number) for each in self.queries.values()}
                assert (effect.connection, effect.number) not in asked, "one query a change at a time"
                assert effect.ticket not in self.queries
                self.queries[effect.ticket] = effect
            case Merge() | UpdateRepository():
                self._take_merge(effect)
            case LaunchBuild():
                self._take_launch(effect)
            case CancelBuild():
                assert self.builds.pop(effect.uuid, None) is not None, "a cancel, once, of what runs"
                self.fates[effect.uuid] = "canceled"
            case SendReport():
                self._take_report(effect)
            case SetTimer():
                assert effect.at >= self.at
                self.timers.append(effect)
            case RecordRunTime():
                assert effect.seconds >= 0

    def _take_merge(self, effect: Merge | UpdateRepository) -> None:
        name = effect.request.ref if isinstance(effect, Merge) else effect.request.name
        assert name in self.scheduler._state.items_by_build_set, "a merge for a build set that is not current"
        self.merges[name] = effect

    def _take_launch(self, effect: LaunchBuild) -> None:
        request = effect.request
        assert request.uuid not in self.fates
        assert request.uuid not in self.builds
        name = str(request.parameters["ZUUL_REF"]).rpartition("/")[2]
        assert name in self.merged or not name.startswith("Z"), "a launch before its merge"
        mutex = MUTEXES.get(request.job)
        holders = [job for job in self.builds.values() if mutex and MUTEXES.get(job) == mutex]
        assert not holders, f"{request.job} and {holders} hold one mutex"
        self.builds[request.uuid] = request.job

    def _take_report(self, effect: SendReport) -> None:
        assert effect.report_id not in self.reports, "a report that is under way already"
        assert effect.report_id not in self.settled, "a report that has arrived already"
        assert (effect.first_tried_at is None) == (effect.report_id not in self.sent)
        self.sent.add(effect.report_id)
        if isinstance(effect.report, Review):
            for other in self.reports.values():
                same = isinstance(other.report, Review) and other.report.number == effect.report.number
                assert not same or other.report.connection != effect.report.connection, "two reports at a time"
        self.reports[effect.report_id] = effect
