"""Long random histories against the scheduler, with all invariants checked after every step (scheduler.md 20)."""

from __future__ import annotations

import pytest
from crashing_world import CrashingWorld
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from invariants import check_all
from simulate import come_to_an_end, history, play, simulate
from simulated_layouts import random_layouts
from simulated_world import WEIGHTS, SimulatedWorld

from ci_gate.model.build import BuildEnd
from ci_gate.model.merge import MergeOutcome
from ci_gate.scheduler.inputs import BuildEnded

ANY = st.integers(0, 10_000)


@pytest.mark.parametrize("first_seed", [1_000, 2_000, 3_000, 4_000])
def test_a_hundred_thousand_steps_keep_all_invariants(first_seed):
    assert simulate(25_000, first_seed) == 100


def test_in_a_third_of_the_histories_the_service_dies_again_and_again():
    worlds = [play(seed, history(seed)) for seed in range(1, 31)]
    dying = [each for each in worlds if isinstance(each, CrashingWorld)]
    assert len(dying) == 10
    assert all(each.crashes > 5 for each in dying)


class AnyHistory(RuleBasedStateMachine):
    """The same world, with hypothesis to choose what happens and to find the shortest history that fails.

    A run that fails is printed as the acts that lead to it, by name.
    """

    @initialize(seed=st.integers(0, 1000))
    def begin(self, seed: int) -> None:
        self.world = SimulatedWorld(random_layouts(seed), check_all)

    @rule(act=st.sampled_from([name for name, weight in WEIGHTS.items() for _ in range(weight)]), which=ANY)
    def something_happens(self, act: str, which: int) -> None:
        if self.world.is_possible(act):
            self.world.act_by_name(act, which)

    @rule()
    def all_that_is_asked_is_answered(self) -> None:
        while self.world.asked:
            self.world.act_by_name("answer_question", 1)

    @rule(outcome=st.sampled_from([MergeOutcome.MERGED, MergeOutcome.CONFLICT]))
    def all_merges_are_answered(self, outcome: MergeOutcome) -> None:
        for name in list(self.world.merges):
            del self.world.merges[name]
            self.world.give_merge(name, outcome)

    @rule(result=st.sampled_from(["SUCCESS", "FAILURE", None]), which=ANY)
    def a_job_ends_wherever_it_runs(self, result: str | None, which: int) -> None:
        jobs = sorted(set(self.world.builds.values()))
        job = jobs[which % len(jobs)] if jobs else ""
        for uuid in [uuid for uuid, name in self.world.builds.items() if name == job]:
            if self.world.builds.pop(uuid, None) is not None:  # not cancelled because of the one before
                self.world.handle(BuildEnded(self.world.at, BuildEnd(uuid, result)))

    def teardown(self) -> None:
        if hasattr(self, "world"):
            come_to_an_end(self.world)


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(
    max_examples=30, stateful_step_count=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
