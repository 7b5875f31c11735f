"""Suggestions for mistyped names."""

from __future__ import annotations

import pytest

from ci_gate.config.nearest import nearest


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("testcheck", "check"),
        ("chek", "check"),
        ("success_message", "success-message"),
        ("Gate", "gate"),
        ("something-else-entirely", None),
        ("", None),
        ("gaet", "gate"),
        ("hceck", "check"),
        ("cheque", None),
        ("gat", "gate"),
        ("g", None),
    ],
)
def test_a_small_mistake_is_recognised(name, meant):
    assert nearest(name, ["", "check", "gate", "success-message", "failure-message"]) == meant
