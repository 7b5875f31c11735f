"""The scheduler: a function from inputs to effects. This file is its whole surface.

``handle`` is the only way in and the only way out; ``view`` is for the status page. Everything that it knows of
time comes with the inputs, and everything that it wants done goes out as effects.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, assert_never

from ci_gate.model.change import SubjectKey, whole_number
from ci_gate.model.item import PipelineView, StatusView
from ci_gate.model.layout import Layout
from ci_gate.model.measures import Measure
from ci_gate.model.operations import UndeliveredReport
from ci_gate.model.options import SchedulerSettings
from ci_gate.scheduler import (
    advance,
    building,
    intake,
    merging,
    operators,
    places,
    reconfigure,
    refreshing,
    releasing,
    reporting,
    snapshots,
    timing,
)
from ci_gate.scheduler.effects import AnswerCommand, Effect
from ci_gate.scheduler.explain import Code, Decision, Decisions
from ci_gate.scheduler.identifiers import Identifiers
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
from ci_gate.scheduler.oracle import Oracle
from ci_gate.scheduler.outbound import Outbound
from ci_gate.scheduler.snapshots import Memory
from ci_gate.scheduler.state import MergeState, State, pipelines_of
from ci_gate.scheduler.step import Step
from ci_gate.scheduler.views import pipeline_view
from ci_gate.scheduler.waiting import Intake


class Scheduler:
    """Decides for one layout. Used by one thread only.

    ``seed`` is 16 random bytes (identifiers are made from it); ``event_delays`` are the longest holds of events by
    connection, in seconds; ``at`` is the time of the start, in seconds since the epoch.
    """

    def __init__(
        self,
        layout: Layout,
        *,
        options: SchedulerSettings,
        oracle: Oracle,
        seed: bytes,
        at: float,
        event_delays: Mapping[str, float] | None = None,
    ) -> None:
        state = State(layout, options, Identifiers(seed), event_delays or {}, last_reconfigured=at)
        state.pipelines = pipelines_of(layout)
        state.turns.use(layout)
        self._remember(Memory(state, Intake(), Outbound()), oracle)

    def _remember(self, memory: Memory, oracle: Oracle) -> None:
        self._state, self._intake, self._outbound = memory.state, memory.intake, memory.outbound
        self._oracle = oracle
        self.decisions = Decisions()
        self.last_decisions: tuple[Decision, ...] = ()
        self.last_measures: tuple[Measure, ...] = ()

    @classmethod
    def restore(
        cls,
        layout: Layout,
        snapshot: dict[str, Any],
        *,
        options: SchedulerSettings,
        oracle: Oracle,
        event_delays: Mapping[str, float] | None = None,
    ) -> Self:
        """The scheduler that ``snapshot`` was taken of, with the layout that was in force then.

        With another layout the next input has to be LayoutReplaced. Raises snapshots.SnapshotError.
        """
        memory = snapshots.restore(snapshot, layout, options, event_delays or {})
        scheduler = cls(layout, options=options, oracle=oracle, seed=memory.state.identifiers.seed, at=0.0)
        scheduler._remember(memory, oracle)  # its own class
        return scheduler

    @property
    def layout(self) -> Layout:
        """The one that is in force."""
        return self._state.layout

    @property
    def waiting_events(self) -> int:
        """Events that wait for what Gerrit answers."""
        return self._intake.length

    def snapshot(self) -> dict[str, Any]:
        """All that is remembered, as plain JSON. The decisions of the past are not part of it."""
        return snapshots.take(Memory(self._state, self._intake, self._outbound))

    def use(self, oracle: Oracle, options: SchedulerSettings, event_delays: Mapping[str, float]) -> None:
        """Decide by these from the next input on."""
        self._oracle, self._state.options, self._state.event_delays = oracle, options, event_delays

    def reseed(self, seed: bytes) -> None:
        """Make identifiers from another seed: those of before may be in use by what is not known here any more."""
        self._state.identifiers.seed = seed

    def handle(self, message: Input) -> list[Effect]:
        """Apply one input, then advance what it touched. What the world can send never raises."""
        step = Step(message.at, self._state, self._oracle, self.decisions, self._outbound)
        self._apply(step, message)
        advance.run_agenda(step)
        while step.internal:
            intake.dispatch_internal(step, step.internal.pop(0))
            advance.run_agenda(step)
        while releasing.release(step):
            advance.run_agenda(step)
        intake.ask_for_open_changes(step, self._intake)
        if self._state.records.wants_sweep:
            self._state.records.sweep(self._intake.waited_for())
        self.last_decisions = tuple(step.decisions)
        self.last_measures = tuple(step.measures)
        return step.effects

    def _apply(self, step: Step, message: Input) -> None:
        match message:
            case EventReceived():
                intake.receive(step, self._intake, message.event)
            case ChangeAnswered() | ChangesFound() | QueryFailed():
                intake.answered(step, self._intake, message)
            case MergeAnswered():
                merging.merge_answered(step, message.answer)
            case BuildUpdated():
                building.build_updated(step, message.update)
            case BuildEnded():
                building.build_ended(step, message.end)
            case ReportAnswered():
                item = reporting.report_answered(step, message.report, message.delivery)
                if item is not None:
                    advance.settled(step, item)
            case SubmitVerified():
                advance.verified(step, message)
            case TimerFired():
                self._wake(step, message.timer)
            case TimeCame():
                timing.tick(step, message.timespec)
            case LayoutReplaced() | Commanded():
                self._command(step, message)
            case _:
                assert_never(message)

    def _command(self, step: Step, message: LayoutReplaced | Commanded) -> None:
        if isinstance(message, Commanded):
            operators.carry_out(step, self._intake, message.ticket, message.command)
        else:
            self._oracle = step.oracle = message.oracle
            step.state.options = message.options or step.state.options
            answer = reconfigure.replace_layout(step, message.layout)
            step.emit(AnswerCommand(message.ticket, answer))

    def _wake(self, step: Step, timer: str) -> None:
        kind, _, rest = timer.partition(":")
        match kind:
            case "refresh":
                connection, _, number = rest.rpartition(":")
                refreshing.look_again(step, self._intake, connection, number)
            case "merged":
                connection, _, project = rest.partition(":")
                step.merged_projects.append((connection, project))
            case "overtake":
                intake.overtake(step, self._intake, rest)
            case "merge":
                merging.merge_again(step, rest)
            case "report" if (report := whole_number(rest)) is not None:
                reporting.send_again(step, report)
            case _:
                step.decide(timer, None, Code.UNKNOWN_ANSWER, what="a timer")

    def view(self) -> StatusView:
        """A picture of everything inside. Items that no step has touched since are not drawn again."""
        return StatusView(
            pipelines=tuple(self._pipeline_views()),
            last_reconfigured=self._state.last_reconfigured,
            trigger_queue_length=self._intake.length,
        )

    def _pipeline_views(self) -> list[PipelineView]:
        return [pipeline_view(self._state, each) for each in self._state.pipelines.values()]

    @property
    def has_work_under_way(self) -> bool:
        """Does some merge, build, report or verification lack its answer? What waits for events does not count."""
        state = self._state
        merging = any(each.build_set.merge_state is MergeState.PENDING for each in state.items_by_build_set.values())
        return merging or bool(state.builds_by_uuid or state.verifying or self._outbound.by_number)

    def states_in_use(self) -> tuple[str, ...]:
        """The names of all build sets that are inside: their merged states must be kept."""
        return tuple(self._state.items_by_build_set)

    def undelivered_reports(self) -> tuple[UndeliveredReport, ...]:
        """Reports that are being repeated, and the last ones that were given up."""
        repeated = [each for each in self._outbound.by_number.values() if each.has_failed]
        return tuple(each.picture() for each in repeated) + tuple(self._outbound.given_up)

    # --- for those who watch ---

    def whose_build(self, uuid: str) -> places.Place | None:
        return places.of_build(self._state, uuid)

    def whose_report(self, number: int) -> places.Place | None:
        return places.of_report(self._state, self._outbound, number)

    def whose_verification(self, item: int) -> places.Place | None:
        return places.of_verification(self._state, item)

    def is_inside(self, pipeline: str, subject: SubjectKey) -> bool:
        return places.is_inside(self._state, pipeline, subject)
