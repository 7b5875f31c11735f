"""A whole world around the scheduler, driven by pairs of small numbers: what happens next, and to which of the many.

Gerrit with its changes, parents, footers and votes; mergers, workers and reports that answer late, wrong, or in any
order; operators who reload. A list of such pairs is a history: it replays, and stays one if pairs are left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from ci_gate.model.build import BuildEnd, BuildUpdate
from ci_gate.model.change import (
    Account,
    ChangeDetails,
    PatchSet,
    RelatedChange,
    SubmitLabel,
    SubmitRecord,
    Vote,
)
from ci_gate.model.commands import Dequeue, Enqueue, OperatorCommand, Promote
from ci_gate.model.event import Event
from ci_gate.model.item import ItemView
from ci_gate.model.layout import Job, Layout
from ci_gate.model.merge import BaseCommit, MergeAnswer, MergeOutcome, MergeRequest
from ci_gate.model.options import SchedulerSettings
from ci_gate.model.report import Delivery, DeliveryOutcome, Mail, Report
from ci_gate.model.search import SearchKind
from ci_gate.scheduler.effects import (
    AnswerCommand,
    CancelBuild,
    Effect,
    LaunchBuild,
    Merge,
    QueryChange,
    RecordRunTime,
    SearchChanges,
    SendReport,
    SetTimer,
    UpdateRepository,
    VerifySubmit,
)
from ci_gate.scheduler.inputs import (
    BuildEnded,
    BuildUpdated,
    ChangeAnswered,
    ChangesFound,
    Commanded,
    EventReceived,
    Input,
    LayoutReplaced,
    MergeAnswered,
    QueryFailed,
    ReportAnswered,
    SubmitVerified,
    TimeCame,
    TimerFired,
)
from ci_gate.scheduler.oracle import Answer
from ci_gate.scheduler.scheduler import Scheduler

START = 1_000_000.0
PROJECTS = ("one", "pair", "one", "pair", "one", "plain", "pair", "one", "alone", "idle", "foreign")
PEOPLE = (Account("Joe", "joe@example.org", "joe"), Account("Ann", None, "ann"))
READY = SubmitRecord("NOT_READY", (SubmitLabel("Code-Review", "OK"), SubmitLabel("Verified", "NEED")))
UNREADY = SubmitRecord("NOT_READY", (SubmitLabel("Code-Review", "NEED"), SubmitLabel("Verified", "NEED")))
RESULTS = ("SUCCESS",) * 6 + ("FAILURE", "FAILURE", "ABORTED", None)
OUTCOMES = (MergeOutcome.MERGED,) * 7 + (MergeOutcome.CONFLICT, MergeOutcome.CONFLICT, MergeOutcome.INTERNAL)
MOST_CHANGES = 60
WEIGHTS = {
    "upload": 6,
    "new_patch_set": 2,
    "approve": 16,
    "withdraw_approval": 1,
    "comment": 3,
    "abandon_or_restore": 1,
    "merge_by_hand": 1,
    "mark": 1,
    "move": 1,
    "push": 1,
    "tick": 1,
    "reload": 1,
    "promote": 1,
    "enqueue": 1,
    "dequeue": 1,
    "answer_question": 30,
    "answer_merge": 24,
    "start_build": 16,
    "end_build": 16,
    "answer_report": 16,
    "answer_verification": 12,
    "fire_timer": 4,
    "answer_twice": 1,
}
"""What can happen, and how likely it is."""
SUBJECTS = {
    "answer_question": "asked",
    "answer_merge": "merges",
    "start_build": "builds",
    "end_build": "builds",
    "answer_report": "reports",
    "answer_verification": "verifications",
    "fire_timer": "timers",
    "answer_twice": "answers",
}
"""What there must be some of for it to happen; changes if it is not here."""
NIGHTLY = "0 2 * * *"
ANSWERS = (ChangeAnswered, ChangesFound, QueryFailed, MergeAnswered, BuildEnded, ReportAnswered, SubmitVerified)
DELIVERIES = (DeliveryOutcome.DELIVERED,) * 8 + (DeliveryOutcome.UNREACHABLE, DeliveryOutcome.REFUSED)


class NoFunctions:
    def edit_parameters(self, item: ItemView, job: Job, parameters: dict[str, object]) -> Answer:
        raise AssertionError(f"{job.name} has no function")


@dataclass
class SimulatedWorld:
    """``act`` makes one thing happen. ``check`` is called after every input with the effects that it had.

    ``restores``: every so many inputs the scheduler is replaced by what its snapshot says; 0: never. ``compares``:
    it is told whether a branch has what was tested.
    """

    layouts: Sequence[Layout]
    check: Callable[[SimulatedWorld, list[Effect]], None]
    at: float = START
    restores: int = 0
    compares: bool = True
    changes: dict[str, ChangeDetails] = field(default_factory=dict)
    earlier: dict[str, ChangeDetails] = field(default_factory=dict)
    asked: dict[int, QueryChange | SearchChanges] = field(default_factory=dict)
    merges: dict[str, Merge | UpdateRepository] = field(default_factory=dict)
    requests: dict[str, MergeRequest] = field(default_factory=dict)
    bases: dict[str, BaseCommit] = field(default_factory=dict)
    builds: dict[str, str] = field(default_factory=dict)
    reports: dict[int, SendReport] = field(default_factory=dict)
    verifications: dict[int, VerifySubmit] = field(default_factory=dict)
    timers: list[SetTimer] = field(default_factory=list)
    submitted: list[tuple[str, str, str]] = field(default_factory=list)
    submitted_before: dict[str, int] = field(default_factory=dict)
    inside: set[tuple[str | None, str]] = field(default_factory=set)
    answers: list[Input] = field(default_factory=list)
    inputs: list[Input] = field(default_factory=list)
    outputs: list[list[Effect]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.scheduler = self.new_scheduler()

    def new_scheduler(self) -> Scheduler:
        return Scheduler(
            self.layouts[0],
            options=SchedulerSettings(url_pattern="{job.name}", report_times=False),
            oracle=NoFunctions(),
            seed=b"sixteen bytes !!",
            at=START,
        )

    def handle(self, message: Input) -> None:
        if self.restores and len(self.inputs) % self.restores == 0:
            self.scheduler = self._restored()
        if isinstance(message, ANSWERS):
            self.answers.append(message)
        effects = self.scheduler.handle(message)
        assert all(each.text for each in self.scheduler.last_decisions)
        self.inputs.append(message)
        self.outputs.append(effects)
        for effect in effects:
            self._take(effect)
        self.check(self, effects)

    def _restored(self) -> Scheduler:
        """As after a crash: all that is known comes from text. Taken once more it is the same text."""
        taken = json.dumps(self.scheduler.snapshot())
        restored = Scheduler.restore(
            self.scheduler._state.layout,
            json.loads(taken),
            options=self.scheduler._state.options,
            oracle=NoFunctions(),
        )
        assert json.dumps(restored.snapshot()) == taken, "a snapshot of what was restored is another"
        return restored

    # --- what happens next ---

    def act(self, what: int, which: int) -> None:
        """Something that is possible now, chosen by two numbers."""
        possible = [name for name in WEIGHTS if self.is_possible(name)]
        turn = what % sum(WEIGHTS[name] for name in possible)
        for name in possible:
            if turn < WEIGHTS[name]:
                self.act_by_name(name, which)
                return
            turn -= WEIGHTS[name]

    def act_by_name(self, name: str, which: int) -> None:
        """``name`` is one of ``WEIGHTS``, and possible now; ``which`` chooses among those that it can happen to."""
        self.at += 0.01
        getattr(self, f"_{name}")(which)

    def is_possible(self, name: str) -> bool:
        match name:
            case "upload":
                return len(self.changes) < MOST_CHANGES
            case "push" | "tick":
                return True
            case "reload":
                return len(self.layouts) > 1
            case _:
                return bool(getattr(self, SUBJECTS.get(name, "changes")))

    def _pick(self, known: object, which: int) -> object:
        choices = list(known)
        return choices[which % len(choices)]

    # --- people ---

    def _tell(self, type_: str, number: str, **given: object) -> None:
        details = self.changes[number]
        known = {
            "patchset": details.current_patchset,
            "account": PEOPLE[0],
            "created_on": int(self.at),
            "change_id": details.change_id,
        }
        event = Event(type_, "gerrit", details.project, details.branch, number, **{**known, **given})
        self.handle(EventReceived(self.at, event))

    def _alter(self, number: str, **changed: object) -> None:
        self.earlier[number] = self.changes[number]
        self.changes[number] = replace(self.changes[number], **changed)

    def _upload(self, which: int) -> None:
        number = str(len(self.changes) + 1)
        project = PROJECTS[which % len(PROJECTS)]
        message, parents = "Change\n\n", ()
        same = [each for each in self.changes.values() if each.project == project]
        if which % 2 == 0 and same:
            parent = same[which // 7 % len(same)]
            parents = (RelatedChange(parent.number, parent.current_patchset),)
        if which % 4 == 0 and self.changes:
            message += f"Depends-On: {_change_id(str(which // 5 % len(self.changes) + 1))}\n"
        if which % 40 == 0:
            message += f"Depends-On: {_change_id(str(which // 11 % (len(self.changes) + 2) + 1))}\n"
        self.changes[number] = ChangeDetails(
            "gerrit",
            number,
            project,
            "master" if which % 9 else "stable",
            change_id=_change_id(number),
            commit_message=f"{message}\nChange-Id: {_change_id(number)}\n",
            patch_sets=(_patch_set(number, 1),),
            depends_on=parents,
            submit_records=(UNREADY if which % 5 == 0 else READY,),
            owner=PEOPLE[which % len(PEOPLE)],
        )
        self._tell("patchset-created", number)

    def _new_patch_set(self, which: int) -> None:
        number = self._pick(self.changes, which)
        details = self.changes[number]
        following = _patch_set(number, len(details.patch_sets) + 1)
        self._alter(number, patch_sets=(*details.patch_sets, following), votes=())
        self._tell("patchset-created", number)

    def _approve(self, which: int) -> None:
        number = self._pick(self.changes, which)
        given = Vote("Workflow", 1, PEOPLE[0], self.at)
        self._alter(number, votes=(given,), submit_records=(READY,))
        self._tell("comment-added", number, votes=(Vote("Workflow", 1),), comment="Patch Set 1: Workflow+1")

    def _withdraw_approval(self, which: int) -> None:
        number = self._pick(self.changes, which)
        self._alter(number, votes=(), submit_records=(UNREADY,))
        self._tell("comment-added", number, comment="Patch Set 1: -Workflow")

    def _comment(self, which: int) -> None:
        text = "recheck" if which % 2 else "nice"
        self._tell("comment-added", self._pick(self.changes, which // 2), comment=f"Patch Set 1:\n\n{text}")

    def _abandon_or_restore(self, which: int) -> None:
        number = self._pick(self.changes, which)
        details = self.changes[number]
        if details.status != "MERGED":
            self._alter(number, is_open=not details.is_open, status="ABANDONED" if details.is_open else "NEW")
            self._tell("change-abandoned" if details.is_open else "change-restored", number)

    def _merge_by_hand(self, which: int) -> None:
        number = self._pick(self.changes, which)
        if self.changes[number].is_open:
            self._alter(number, status="MERGED", is_open=False)
            self._tell("change-merged", number)

    def _mark(self, which: int) -> None:
        """Work in progress, or not any more."""
        number = self._pick(self.changes, which)
        self._alter(number, wip=not self.changes[number].wip)
        self._tell("wip-state-changed", number)

    def _move(self, which: int) -> None:
        """To another branch, or only to another topic."""
        number = self._pick(self.changes, which)
        if which % 2 and self.changes[number].is_open:
            self._alter(number, branch="stable" if self.changes[number].branch == "master" else "master")
        self._tell("topic-changed", number, patchset=None)

    def _push(self, which: int) -> None:
        project, new = PROJECTS[which % len(PROJECTS)], "123"[which // 7 % 3]
        event = Event("ref-updated", "gerrit", project, ref="master", oldrev="0" * 40, newrev=new * 40)
        self.handle(EventReceived(self.at, event))

    def _tick(self, which: int) -> None:
        self.handle(TimeCame(self.at, NIGHTLY if which % 4 else "0 3 * * *"))

    def _reload(self, which: int) -> None:
        self.handle(LayoutReplaced(self.at, 1, self._pick(self.layouts, which), NoFunctions()))

    # --- operators ---

    def _command(self, command: OperatorCommand) -> None:
        self.handle(Commanded(self.at, 2, command))

    def _promote(self, which: int) -> None:
        """One or two, mostly of those that are inside."""
        inside = [str(key) for key in self.scheduler._state.pipelines["gate"].live]
        known = inside if inside and which % 5 else [f"{number},1" for number in self.changes]
        wanted = [known[which % len(known)], known[which // 3 % len(known)]][: which % 2 + 1]
        self._command(Promote("gate", tuple(dict.fromkeys(wanted))))

    def _enqueue(self, which: int) -> None:
        details = self.changes[self._pick(self.changes, which // 2)]
        patchset = "1" if which % 5 == 0 else details.current_patchset
        pipeline = "check" if which % 2 else "gate"
        self._command(Enqueue("gerrit", pipeline, details.project, f"{details.number},{patchset}"))

    def _dequeue(self, which: int) -> None:
        details = self.changes[self._pick(self.changes, which // 2)]
        change = f"{details.number},{details.current_patchset}"
        self._command(Dequeue("check" if which % 2 else "gate", details.project, change=change))

    # --- answers ---

    def _answer_question(self, which: int) -> None:
        """Mostly the truth; now and then late, or none."""
        ticket = self._pick(self.asked, which)
        question = self.asked.pop(ticket)
        if which % 23 == 0:
            self.handle(QueryFailed(self.at, ticket, "no answer", transient=which % 46 == 0))
        elif isinstance(question, SearchChanges):
            self.handle(ChangesFound(self.at, ticket, self._found(question)))
        elif which % 19 == 0 and question.number in self.earlier:
            self.handle(ChangeAnswered(self.at, ticket, self._shown(self.earlier[question.number])))
        else:
            known = self.changes.get(question.number)
            self.handle(ChangeAnswered(self.at, ticket, self._shown(known) if known else None))

    def _found(self, asked: SearchChanges) -> tuple[ChangeDetails, ...]:
        value = asked.search.value
        fits = {
            SearchKind.CHANGE_ID: lambda each: each.change_id == value,
            SearchKind.MENTIONS: lambda each: value in each.commit_message,
            SearchKind.MENTIONS_ADDRESS: lambda each: f"/c/{value}" in each.commit_message,
            SearchKind.OPEN_IN_PROJECT: lambda each: each.project == value and each.is_open,
        }[asked.search.kind]
        return tuple(self._shown(each) for each in self.changes.values() if fits(each))

    def _shown(self, details: ChangeDetails) -> ChangeDetails:
        """With the children that it has by now."""
        children = tuple(
            RelatedChange(each.number, each.current_patchset or "1", parent.patchset == details.current_patchset)
            for each in self.changes.values()
            for parent in each.depends_on
            if parent.number == details.number
        )
        return replace(details, needed_by=children)

    def _answer_merge(self, which: int) -> None:
        name = self._pick(self.merges, which)
        self.merges.pop(name)
        outcome = OUTCOMES[which // 3 % len(OUTCOMES)]
        self.give_merge(name, outcome)

    def give_merge(self, name: str, outcome: MergeOutcome) -> None:
        commit = name[1:].ljust(40, "0") if outcome is MergeOutcome.MERGED else None
        bases = (self.bases[name],) if name in self.bases else ()
        self.handle(MergeAnswered(self.at, MergeAnswer(name, outcome, commit, "http://m/p", bases, detail="why")))

    def _start_build(self, which: int) -> None:
        uuid = self._pick(self.builds, which)
        self.handle(BuildUpdated(self.at, BuildUpdate(uuid, started=True, number=len(self.inputs), manager="m")))

    def _end_build(self, which: int) -> None:
        uuid = self._pick(self.builds, which)
        del self.builds[uuid]
        self.handle(BuildEnded(self.at, BuildEnd(uuid, RESULTS[which // 3 % len(RESULTS)], which % 2 == 0, "lost")))

    def _answer_report(self, which: int) -> None:
        number = self._pick(self.reports, which)
        self.give_report(number, DELIVERIES[which // 3 % len(DELIVERIES)], submits=which // 5 % 8 != 0)

    def give_report(self, number: int, outcome: DeliveryOutcome, *, submits: bool = True) -> None:
        report = self.reports.pop(number).report
        if outcome is DeliveryOutcome.DELIVERED:
            self._post(report, submits=submits)
        self.handle(ReportAnswered(self.at, number, Delivery(outcome, "" if outcome == "delivered" else "why")))

    def _post(self, report: Report, *, submits: bool) -> None:
        """Gerrit takes a report, and merges if it is told to and ``submits``."""
        if submits and not isinstance(report, Mail) and report.flags:
            details = self.changes[report.number]
            if details.is_open and details.current_patchset == report.patchset:
                self._alter(report.number, status="MERGED", is_open=False)
                self.submitted.append((details.project, details.branch, f"{report.number},{report.patchset}"))

    def _answer_verification(self, which: int) -> None:
        number = self._pick(self.verifications, which)
        asked = self.verifications.pop(number)
        merged = self.changes[asked.number].status == "MERGED"
        as_built = merged and self.compares and which // 3 % 2 == 0 and self._is_what_was_built(asked)
        self.handle(SubmitVerified(self.at, number, merged, "" if merged else "not submitted", as_built))

    def _is_what_was_built(self, asked: VerifySubmit) -> bool:
        """Has the gate merged nothing else there since that state was made?"""
        if asked.built is None:
            return False
        name = f"Z{asked.built[:32]}"
        chain = {f"{request.number},{request.patchset}" for request in self._chain_of(name)}
        since = self.submitted[self.submitted_before[name] :]
        return {change for *line, change in since if line == [asked.project, asked.branch]} <= chain

    def _chain_of(self, name: str) -> Iterator[MergeRequest]:
        following: str | None = name
        while following in self.requests:
            yield self.requests[following]
            following = self.requests[following].ahead

    def _fire_timer(self, _which: int) -> None:
        first = min(self.timers, key=lambda each: each.at)
        self.timers.remove(first)
        self.at = max(self.at, first.at)
        self.handle(TimerFired(self.at, first.timer))

    def _answer_twice(self, which: int) -> None:
        """What was told before is told again, by then about nothing that is asked."""
        message = self._pick(self.answers, which)
        self.handle(replace(message, at=self.at))

    def come_to_rest(self) -> None:
        """Nothing new happens, and everything is answered, well."""
        for _ in range(20_000):
            if self.asked:
                self._answer_question(1)
            elif self.merges:
                name = next(iter(self.merges))
                del self.merges[name]
                self.give_merge(name, MergeOutcome.MERGED)
            elif self.builds:
                uuid = next(iter(self.builds))
                del self.builds[uuid]
                self.handle(BuildEnded(self.at, BuildEnd(uuid, "SUCCESS")))
            elif self.reports:
                self.give_report(next(iter(self.reports)), DeliveryOutcome.DELIVERED)
            elif self.verifications:
                self._answer_verification(0)
            elif self.timers:
                self._fire_timer(0)
            else:
                return
        raise AssertionError("the scheduler never comes to rest")

    # --- what effects may be ---

    def _take(self, effect: Effect) -> None:
        match effect:
            case QueryChange() | SearchChanges():
                self.asked[effect.ticket] = effect
            case Merge():
                self.merges[effect.request.ref] = effect
                self.requests[effect.request.ref] = effect.request
                self.submitted_before[effect.request.ref] = len(self.submitted)
                request, tip = effect.request, str(len(self.submitted)).zfill(40)
                self.bases[request.ref] = BaseCommit(request.project, request.branch, tip)
            case UpdateRepository():
                self.merges[effect.request.name] = effect
            case LaunchBuild():
                assert effect.request.uuid not in self.builds
                self.builds[effect.request.uuid] = effect.request.job
            case CancelBuild():
                assert self.builds.pop(effect.uuid, None) is not None, "a cancel, once, of what runs"
            case SendReport():
                assert effect.report_id not in self.reports, "a report that is under way already"
                self.reports[effect.report_id] = effect
            case VerifySubmit():
                assert effect.item not in self.verifications
                self.verifications[effect.item] = effect
            case SetTimer():
                assert effect.at >= self.at - 1e-6
                self.timers.append(effect)
            case RecordRunTime() | AnswerCommand():
                pass


def _change_id(number: str) -> str:
    return "I" + number.zfill(40)


def _patch_set(number: str, patchset: int) -> PatchSet:
    ref = f"refs/changes/{number.zfill(2)[-2:]}/{number}/{patchset}"
    files = ("/COMMIT_MSG", "doc/a.txt" if patchset % 2 else "src/a.c")
    return PatchSet(str(patchset), ref, f"{int(number):x}a{patchset:x}".ljust(40, "0"), files)
