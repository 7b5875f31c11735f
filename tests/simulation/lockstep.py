"""The real scheduler and the reference, side by side: after every step both must have done the same, in order.

``python tests/simulation/lockstep.py STEPS [SEED]``

Queries and reports are answered at once, so that a step of the one is a step of the other; merges, builds and the
question whether Gerrit has merged a change are answered later, in any order.
"""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass, field, replace

from reference import Action, Reference
from reference_records import Key
from reference_state import Build
from simulate import History, simulate
from simulated_layouts import random_layouts
from simulated_world import SimulatedWorld

from ci_gate.model.build import Precedence
from ci_gate.model.change import ChangeKey
from ci_gate.model.commands import Dequeue, Enqueue, Promote
from ci_gate.model.event import Event
from ci_gate.model.layout import Layout, Pipeline
from ci_gate.model.merge import MergeOutcome
from ci_gate.model.report import DeliveryOutcome, Review
from ci_gate.scheduler.effects import (
    CancelBuild,
    Effect,
    LaunchBuild,
    Merge,
    SendReport,
    VerifySubmit,
)
from ci_gate.scheduler.inputs import (
    BuildEnded,
    Commanded,
    EventReceived,
    Input,
    LayoutReplaced,
    MergeAnswered,
    SubmitVerified,
    TimerFired,
)

KINDS = {
    "Starting": "start",
    "Build succeeded.": "success",
    "Build failed.": "failure",
    "Merge Failed.": "merge failure",
    "This change was not tested to the end": "need failed",
    "This change was not tested:": "technical",
}


PIPELINES = {Precedence.NORMAL: "check", Precedence.HIGH: "gate", Precedence.LOW: "post"}


@dataclass
class Lockstep(SimulatedWorld):
    """``merge_of`` and ``build_of`` tell by which name the reference knows what the real one asked for.

    ``chains`` are the states that merges stand on, front to back, with all that was merged since.
    """

    merge_of: dict[str, int] = field(default_factory=dict)
    build_of: dict[str, Build] = field(default_factory=dict)
    chains: dict[str, tuple[Key, ...]] = field(default_factory=dict)
    launched: dict[str, str] = field(default_factory=dict)
    row: list[Effect] = field(default_factory=list)
    within_step: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.reference = Reference(self.layouts[0], self.changes)

    # --- one step of both ---

    def handle(self, message: Input) -> None:
        if self.within_step:
            super().handle(message)
            return
        self.within_step, self.row = True, []
        self.reference.told = []
        self._refer(message)
        self.reference.advance()
        super().handle(message)
        while self.asked or self.reports:
            if self.asked:
                self._answer_question(1)
            else:
                number = next(iter(self.reports))
                refused = (number * 7919 + len(self.inputs)) % 8 == 0
                self.give_report(number, DeliveryOutcome.DELIVERED, submits=not refused)
        self.within_step = False
        self._compare_actions()
        assert self._real_queues() == self._reference_queues()

    def _take(self, effect: Effect) -> None:
        self.row.append(effect)
        super()._take(effect)

    def give_merge(self, name: str, outcome: MergeOutcome) -> None:
        """Every eighth fails at first, and some of them to the end; what else fails so does for good at once."""
        kind = int(name[-2:], 16) % 32
        if kind < 4 and (kind == 0 or not self._has_failed(name)):
            outcome = MergeOutcome.INTERNAL
        elif outcome is MergeOutcome.INTERNAL:
            outcome = MergeOutcome.MISSING_BRANCH
        super().give_merge(name, outcome)

    def _has_failed(self, name: str) -> bool:
        return any(isinstance(each, MergeAnswered) and each.answer.ref == name for each in self.answers)

    def _upload(self, which: int) -> None:
        """No circles: the reference has nothing to break them with."""
        super()._upload(which + 4 if which % 40 == 0 else which)

    def is_possible(self, name: str) -> bool:
        """The reference knows changes only."""
        return name not in ("push", "tick") and super().is_possible(name)

    def _refer(self, message: Input) -> None:
        """Tell the reference the same."""
        reference = self.reference
        lanes = {each.pipeline.name: each for each in reference.lanes}
        match message:
            case EventReceived(event=Event() as event) if event.number is not None:
                reference.event(event.type, event.number, event.patchset or "", lambda each: accepts(each, event))
            case MergeAnswered(answer=answer):
                outcome = {"merged": "merged", "conflict": "conflict"}.get(answer.outcome, "technical")
                may_pass = answer.outcome is MergeOutcome.INTERNAL
                reference.merge_answered(self.merge_of[answer.ref], outcome, may_pass=may_pass)
            case TimerFired(timer=timer) if timer.startswith("merge:"):
                reference.merge_due(self.merge_of[timer.removeprefix("merge:")])
            case BuildEnded(end=end):
                reference.build_ended(self.build_of[end.uuid], end.result, counted=end.counted)
            case SubmitVerified(item=number) if number in self.scheduler._state.verifying:
                key = self.scheduler._state.verifying[number].subject_key
                reference.verified((key.number, key.patchset), merged=message.merged)
            case LayoutReplaced(layout=layout):
                reference.reload(layout)
            case Commanded(command=Promote() as command):
                reference.promote(lanes[command.pipeline], [_key(each) for each in command.changes])
            case Commanded(command=Enqueue() as command) if command.project in reference.layout.projects:
                reference.enqueue(lanes[command.pipeline], _key(command.change))
            case Commanded(command=Dequeue() as command):
                lane = lanes[command.pipeline]
                for item in [each for each in lane.live() if each.key == _key(command.change or "")]:
                    if not item.reported:
                        reference.withdraw(lane, item)

    # --- what was done ---

    def _compare_actions(self) -> None:
        """In order, within each pipeline."""
        told = in_order([each for effect in self.row if (each := self._told(effect)) is not None])
        should = in_order(self.reference.told)
        for pipeline in PIPELINES.values():
            real, wanted = ([each for each in both if each[0] == pipeline] for both in (told, should))
            for mine, theirs in zip(real, wanted, strict=False):
                assert self._are_the_same(mine, theirs), f"{mine}\nis not {theirs}\n{real}\nis not {wanted}"
            assert len(real) == len(wanted), f"{real}\nis not {wanted}"

    def _told(self, effect: Effect) -> Action | None:
        match effect:
            case Merge(request=request, precedence=precedence):
                ahead = self.chains[request.ahead] if request.ahead else ()
                self.chains[request.ref] = (*ahead, (request.number, request.patchset))
                return (PIPELINES[precedence], "merge", request.ref)
            case LaunchBuild(request=request):
                self.launched[request.uuid] = str(request.parameters["ZUUL_PIPELINE"])
                chain = tuple(_key(each) for each in str(request.parameters["ZUUL_CHANGE_IDS"]).split())
                ref = str(request.parameters["ZUUL_REF"]).rpartition("/")[2]
                return (self.launched[request.uuid], "launch", request.job, chain, ref, request.uuid)
            case CancelBuild(uuid=uuid):
                return (self.launched[uuid], "cancel", uuid)
            case SendReport(report=Review() as report):
                return self._told_report(report)
            case VerifySubmit(item=item):
                return ("gate", "verify", _key_of(self.scheduler._state.verifying[item].subject_key))
        return None

    def _told_report(self, report: Review) -> Action:
        text, _, pipeline = report.message.rpartition("\n")
        kind = next(kind for start, kind in KINDS.items() if text.startswith(start))
        key = (report.number, report.patchset)
        if kind == "start":
            return (pipeline, "start", key)
        lines = [line[2:].split(" ") for line in text.splitlines() if line.startswith("- ")]
        return (pipeline, "report", key, kind, tuple((words[0], words[2]) for words in lines))

    def _are_the_same(self, real: Action, wanted: Action) -> bool:
        """And remember which is which."""
        match real, wanted:
            case (_, "merge", str() as ref), (_, "merge", tuple() as chain):
                *_, (_, merge) = chain
                self.merge_of[ref] = merge
                keys, mine = tuple(key for key, _ in chain), self.chains[ref]
                gone = mine[: len(mine) - len(keys)]
                merged = all(self.changes[number].status == "MERGED" for number, _ in gone)
                return merged and mine[len(gone) :] == keys
            case (_, "launch", job, chain, str() as ref, str() as uuid), (_, "launch", *rest, Build() as build):
                self.build_of[uuid] = build
                return [job, chain, self.merge_of[ref]] == rest
            case (_, "cancel", str() as uuid), (_, "cancel", build):
                return self.build_of[uuid] is build
            case _:
                return real == wanted

    # --- what is inside ---

    def _real_queues(self) -> list[object]:
        """The queues that are not empty, with all that is to be seen of each item."""
        found = []
        for pipeline in self.scheduler._state.pipelines.values():
            for queue in pipeline.queues:
                items = [
                    (
                        _key_of(item.subject_key),
                        _key_of(item.item_ahead.subject_key) if item.item_ahead else None,
                        item.live,
                        item.active,
                        bool(item.build_set.failing_reasons),
                        item.reporting,
                        {name: build.result for name, build in item.build_set.builds.items()},
                    )
                    for item in queue.items
                ]
                found.append((pipeline.name, queue.window if pipeline.is_dependent else 0, items))
        return [each for each in found if each[2]]

    def _reference_queues(self) -> list[object]:
        return [
            (
                lane.pipeline.name,
                queue.window,
                [
                    (
                        item.key,
                        item.ahead.key if item.ahead else None,
                        item.live,
                        item.active,
                        bool(item.builds_of.reasons),
                        item.reported,
                        {name: build.result for name, build in item.builds_of.builds.items()},
                    )
                    for item in queue.items
                ],
            )
            for lane in self.reference.lanes
            for queue in lane.queues
            if queue.items
        ]


def in_order(told: list[Action]) -> list[Action]:
    """Without what the reference does at once, and the real one when Gerrit has answered.

    A second report on a change leaves when the first has arrived, and only then Gerrit is asked whether it has merged.
    """
    later = [each for each in told if each[1] == "verify"]
    reported: set[object] = set()
    for each in told:
        if each[1] in ("start", "report"):
            number = each[2][0]
            later += [each] if number in reported else []
            reported.add(number)
    return [each for each in told if each not in later] + sorted(later, key=str)


def accepts(pipeline: Pipeline, event: Event) -> bool:
    """The triggers of the simulated layouts, in plain words."""
    comment = event.comment or ""
    match pipeline.name, event.type:
        case "check", "patchset-created" | "change-restored":
            return True
        case "check", "comment-added":
            return "recheck" in comment.splitlines()
        case "gate", "comment-added":
            return any((vote.label, vote.value) == ("Workflow", 1) for vote in event.votes)
        case _:
            return False


def lockstep(seed: int, acts: History) -> Lockstep:
    """Raises AssertionError at the first step that differs."""
    layouts: list[Layout] = []
    for each in map(_marked, random_layouts(seed, with_ours=False)):
        if all(_queues_stay(one, each) for one in layouts):
            layouts.append(each)
    world = Lockstep(layouts, lambda _world, _effects: None, compares=False)
    for what, which in acts:
        world.act(what, which)
    return world


def _marked(layout: Layout) -> Layout:
    """Pipelines can be told by precedence and footer; those that are not compared are left out."""
    marks = {name: precedence for precedence, name in PIPELINES.items()}
    known = [each for each in layout.pipelines if each.name in marks]
    marked = [replace(each, precedence=marks[each.name], footer_message=each.name) for each in known]
    return replace(layout, pipelines=tuple(marked))


def _queues_stay(one: Layout, other: Layout) -> bool:
    """What becomes of items whose queue is split or joined is not in the specification."""
    both = set(one.projects) & set(other.projects)
    shared = [
        {frozenset(both & {*each.projects}) for queues in layout.queues.values() for each in queues}
        for layout in (one, other)
    ]
    return shared[0] - {frozenset()} == shared[1] - {frozenset()}


def _key(change: str) -> Key:
    number, _, patchset = change.partition(",")
    return (number, patchset)


def _key_of(key: object) -> Key:
    assert isinstance(key, ChangeKey)
    return (key.number, key.patchset)


if __name__ == "__main__":
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    begin = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(10**9)
    print(f"{simulate(wanted, begin, lockstep)} histories from seed {begin}, {wanted:,} steps: no difference")
