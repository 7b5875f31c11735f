"""Long random histories against the scheduler, with all invariants checked after every step (scheduler.md 20)."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from invariants import check_all
from simulate import history, play, simulate
from simulated_layouts import random_layouts
from simulated_world import SimulatedWorld

ONCE_WRONG = (12, 40, 60, 207, 678, 5600, 6552, 7387, 9463, 10213)


@pytest.mark.parametrize("first_seed", [1_000, 2_000, 3_000, 4_000])
def test_a_hundred_thousand_steps_keep_all_invariants(first_seed):
    assert simulate(25_000, first_seed) == 100


@pytest.mark.parametrize("seed", ONCE_WRONG)
def test_a_history_that_once_went_wrong_goes_well(seed):
    play(seed, history(seed))


class AnyHistory(RuleBasedStateMachine):
    """The same world, with hypothesis to choose what happens and to find the shortest history that fails."""

    @initialize(seed=st.integers(0, 1000))
    def begin(self, seed: int) -> None:
        self.world = SimulatedWorld(random_layouts(seed), check_all)

    @rule(what=st.integers(0, 10_000), which=st.integers(0, 10_000))
    def something_happens(self, what: int, which: int) -> None:
        self.world.act(what, which)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.come_to_rest()


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(
    max_examples=30, stateful_step_count=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
