"""The real scheduler against a slow reference that recomputes everything: the same steps, in the same order."""

from __future__ import annotations

import pytest
from lockstep import lockstep
from simulate import fails, history, simulate

from ci_gate.scheduler import needs, windows


@pytest.mark.parametrize("first_seed", [1, 101, 201, 301])
def test_merges_launches_and_reports_are_those_of_the_reference(first_seed):
    assert simulate(7_500, first_seed, lockstep) == 30


@pytest.mark.parametrize(
    ("module", "rule", "broken"),
    [
        (windows, "shrunk", lambda _rules, size: size),
        (needs, "failing", lambda _state, _item: None),
    ],
)
def test_a_rule_that_is_broken_is_found(module, rule, broken, monkeypatch):
    """Otherwise the comparison would prove nothing."""
    monkeypatch.setattr(module, rule, broken)
    assert any(fails(lockstep, seed, history(seed)) for seed in range(1, 20))
