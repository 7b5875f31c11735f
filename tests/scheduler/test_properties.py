"""Whatever the world does, in whatever order: the invariants of scheduler.md 20 hold (nos. 1, 5, 7, 8, 9)."""

from __future__ import annotations

from collections import Counter

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from random_world import CONNECTIONS, PEOPLE, PROJECTS, RandomWorld, new_scheduler

from ci_gate.model.event import Event
from ci_gate.model.merge import MergeOutcome
from ci_gate.model.report import DeliveryOutcome
from ci_gate.scheduler.explain import Code
from ci_gate.scheduler.inputs import EventReceived, TimerFired
from ci_gate.scheduler.state import Item, MergeState
from ci_gate.scheduler.views import _draw_item

ONE_OF_THEM = st.integers(0, 10_000)
RESULTS = st.sampled_from(["SUCCESS", "SUCCESS", "FAILURE", "ABORTED", "", None])
LEAVING = (Code.REPORTED, Code.SILENT, Code.NO_JOBS, Code.SUPERSEDED, Code.ABANDONED)


class AnyWorld(RuleBasedStateMachine):
    """Each rule is one thing that the world can do."""

    def __init__(self) -> None:
        super().__init__()
        self.world = RandomWorld()

    def _pick(self, known: object, which: int) -> object:
        choices = list(known)
        return choices[which % len(choices)]

    # --- people ---

    @rule(connection=st.sampled_from(CONNECTIONS), project=st.sampled_from(PROJECTS), stable=st.booleans())
    def upload(self, connection: str, project: str, stable: bool) -> None:
        change = self.world.create(connection, project, "stable" if stable else "master")
        self.world.tell("patchset-created", change)

    @precondition(lambda self: self.world.changes)
    @rule(which=ONE_OF_THEM)
    def new_patch_set(self, which: int) -> None:
        change = self._pick(self.world.changes, which)
        self.world.add_patch_set(change)
        self.world.tell("patchset-created", change)

    @precondition(lambda self: self.world.changes)
    @rule(
        which=ONE_OF_THEM,
        text=st.sampled_from(["recheck", "nice"]),
        person=st.sampled_from(PEOPLE),
        value=st.integers(-1, 1),
    )
    def comment(self, which: int, text: str, person: object, value: int) -> None:
        change = self._pick(self.world.changes, which)
        given = (self.world.vote(change, person, value),) if value else ()
        comment = f"Patch Set 1:\n\n{text}"
        self.world.tell("comment-added", change, person, comment=comment, votes=given)

    @precondition(lambda self: self.world.changes)
    @rule(which=ONE_OF_THEM)
    def comment_on_the_first_patch_set(self, which: int) -> None:
        change = self._pick(self.world.changes, which)
        self.world.tell("comment-added", change, patchset="1", comment="Patch Set 1:\n\nrecheck")

    @precondition(lambda self: self.world.changes)
    @rule(which=ONE_OF_THEM)
    def abandon_or_restore(self, which: int) -> None:
        change = self._pick(self.world.changes, which)
        is_open = not self.world.changes[change].is_open
        self.world.alter(change, is_open=is_open, status="NEW" if is_open else "ABANDONED")
        self.world.tell("change-restored" if is_open else "change-abandoned", change)

    @precondition(lambda self: self.world.changes)
    @rule(which=ONE_OF_THEM)
    def move_to_another_branch(self, which: int) -> None:
        change = self._pick(self.world.changes, which)
        other = "master" if self.world.changes[change].branch == "stable" else "stable"
        self.world.alter(change, branch=other)
        self.world.tell("topic-changed", change)

    @rule(project=st.sampled_from(PROJECTS), new=st.sampled_from("123"), stable=st.booleans())
    def update_ref(self, project: str, new: str, stable: bool) -> None:
        ref = "stable" if stable else "master"
        event = Event("ref-updated", "gerrit", project, ref=ref, oldrev="0" * 40, newrev=new * 40)
        self.world.handle(EventReceived(self.world.at, event))

    # --- answers ---

    @rule()
    def everybody_answers_but_the_workers(self) -> None:
        for ticket in list(self.world.queries):
            self.world.answer_query(ticket, "true")
        for name in list(self.world.merges):
            self.world.answer_merge(name, MergeOutcome.MERGED)

    @precondition(lambda self: self.world.builds)
    @rule(result=RESULTS)
    def all_builds_end(self, result: str | None) -> None:
        for uuid in list(self.world.builds):
            if uuid in self.world.builds:  # not skipped because of another one's result
                self.world.end_build(uuid, result)

    @precondition(lambda self: self.world.queries)
    @rule(which=ONE_OF_THEM, how=st.sampled_from(["true", "true", "true", "late", "none", "failed", "refused"]))
    def answer_query(self, which: int, how: str) -> None:
        self.world.answer_query(self._pick(self.world.queries, which), how)

    @precondition(lambda self: self.world.merges)
    @rule(which=ONE_OF_THEM, outcome=st.sampled_from([MergeOutcome.MERGED] * 4 + list(MergeOutcome)))
    def answer_merge(self, which: int, outcome: MergeOutcome) -> None:
        self.world.answer_merge(self._pick(self.world.merges, which), outcome)

    @precondition(lambda self: self.world.builds)
    @rule(which=ONE_OF_THEM, number=st.integers(1, 3))
    def update_build(self, which: int, number: int) -> None:
        self.world.update_build(self._pick(self.world.builds, which), number)

    @precondition(lambda self: self.world.builds)
    @rule(which=ONE_OF_THEM, result=RESULTS, counted=st.booleans())
    def end_build(self, which: int, result: str | None, counted: bool) -> None:
        self.world.end_build(self._pick(self.world.builds, which), result, counted=counted)

    @precondition(lambda self: self.world.reports)
    @rule(which=ONE_OF_THEM, outcome=st.sampled_from([DeliveryOutcome.DELIVERED] * 2 + list(DeliveryOutcome)))
    def answer_report(self, which: int, outcome: DeliveryOutcome) -> None:
        self.world.answer_report(self._pick(self.world.reports, which), outcome)

    @rule(seconds=st.sampled_from([0.05, 0.3, 2.0, 5.0, 20.0, 100.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    @rule(which=ONE_OF_THEM, result=RESULTS, outcome=st.sampled_from(MergeOutcome))
    def what_is_over_speaks_once_more(self, which: int, result: str | None, outcome: MergeOutcome) -> None:
        world = self.world
        uuid = self._pick([*world.fates, "f" * 32], which)
        world.update_build(uuid, 7)
        world.end_build(uuid, result)
        world.answer_merge(self._pick([*sorted(world.merged), "Z"], which), outcome)
        world.answer_report(self._pick([*sorted(world.settled), 0], which), DeliveryOutcome.TRANSIENT)
        world.handle(TimerFired(world.at, self._pick([*world.past_timers, "merge:Z", "report:0"], which)))

    # --- what always holds ---

    def items(self) -> list[Item]:
        pipelines = self.world.scheduler._state.pipelines.values()
        return [item for pipeline in pipelines for queue in pipeline.queues for item in queue.items]

    @invariant()
    def one_live_item_per_subject_and_pipeline(self) -> None:
        for pipeline in self.world.scheduler._state.pipelines.values():
            inside = [item for queue in pipeline.queues for item in queue.items if not item.reporting]
            assert {item.subject_key: item for item in inside} == pipeline.live
            assert len(inside) == len(pipeline.live)

    @invariant()
    def no_item_waits_for_nothing(self) -> None:
        for item in self.items():
            build_set = item.build_set
            if item.reporting:
                assert item.open_reports
            elif build_set.merge_state is MergeState.PENDING:
                timers = {each.timer for each in self.world.timers}
                assert build_set.name in self.world.merges or f"merge:{build_set.name}" in timers
            else:
                runs = any(each.uuid in self.world.builds for each in build_set.builds.values())
                waits = any(item in waiters for waiters in self.world.scheduler._state.mutex_waiters.values())
                assert runs or waits

    @invariant()
    def pictures_that_are_kept_are_up_to_date(self) -> None:
        for item in self.items():
            assert item.view is None or item.view == _draw_item(self.world.scheduler._state, item)

    @invariant()
    def what_the_scheduler_waits_for_is_under_way(self) -> None:
        scheduler = self.world.scheduler
        assert set(scheduler._state.builds_by_uuid) == set(self.world.builds)
        assert set(scheduler._intake.tickets) == set(self.world.queries)
        timers = {each.timer for each in self.world.timers}
        for (connection, number), refresh in scheduler._intake.refreshes.items():
            assert refresh.ticket is not None or f"refresh:{connection}:{number}" in timers
        for lane in scheduler._outbound.lanes.values():
            first = lane[0]
            assert first.number in self.world.reports or f"report:{first.number}" in timers

    # --- the end ---

    def teardown(self) -> None:
        self._answer_everything()
        self._nothing_is_left()
        self._everything_that_entered_has_left()
        self._a_replay_gives_the_same_effects()

    def _answer_everything(self) -> None:
        world = self.world
        for _ in range(5000):
            if world.queries:
                world.answer_query(next(iter(world.queries)), "true")
            elif world.merges:
                world.answer_merge(next(iter(world.merges)), MergeOutcome.MERGED)
            elif world.builds:
                world.end_build(next(iter(world.builds)), "SUCCESS")
            elif world.reports:
                world.answer_report(next(iter(world.reports)), DeliveryOutcome.DELIVERED)
            elif world.timers:
                world.pass_time(min(each.at for each in world.timers) - world.at)
            else:
                return
        raise AssertionError("the scheduler never comes to rest")

    def _nothing_is_left(self) -> None:
        scheduler = self.world.scheduler
        state, intake, outbound = scheduler._state, scheduler._intake, scheduler._outbound
        assert not self.items()
        assert not any(pipeline.queues or pipeline.live for pipeline in state.pipelines.values())
        state.records.sweep(())
        assert not state.records.by_key
        assert not state.records.users
        assert not state.records.needers
        assert not state.records.patch_sets
        assert not state.records.naming
        assert not state.items_by_build_set
        assert not state.builds_by_uuid
        assert not state.mutexes
        assert not state.mutex_waiters
        assert not intake.length
        assert not intake.by_change
        assert not intake.refreshes
        assert not intake.tickets
        assert not outbound.lanes
        assert not outbound.by_number

    def _everything_that_entered_has_left(self) -> None:
        decisions = [each for kept in self.world.scheduler.decisions.by_subject.values() for each in kept]
        entered = Counter((each.subject, each.pipeline) for each in decisions if each.code is Code.ENTERED)
        left = Counter((each.subject, each.pipeline) for each in decisions if each.code in LEAVING)
        assert set(entered) <= set(left)

    def _a_replay_gives_the_same_effects(self) -> None:
        again = new_scheduler()
        assert [again.handle(message) for message in self.world.inputs] == self.world.effects


TestAnyWorld = AnyWorld.TestCase
TestAnyWorld.settings = settings(
    max_examples=60,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
