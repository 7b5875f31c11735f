"""Decisions of the past, for whoever asks why after a restart (``scheduler/explain.py``).

They decide nothing, so they are no part of the memory proper: values that are not plain are kept as people read them.
"""

from __future__ import annotations

from typing import Any

from ci_gate.scheduler.explain import Code, Decision, Decisions, shown

MOST_SUBJECTS = 2_000  # those about which something was decided last


def encode_decisions(decisions: Decisions) -> list[Any]:
    """``[subject, [[at, pipeline, code, [[name, value], …]], …]]`` each; the quietest subjects are left out."""
    subjects = list(decisions.by_subject.items())[-MOST_SUBJECTS:]
    return [[subject, [_encode(each) for each in known]] for subject, known in subjects]


def decode_decisions(data: list[Any]) -> Decisions:
    """What this version has no words for is left out."""
    decisions, known = Decisions(), set(Code)
    for subject, rows in data:
        for at, pipeline, code, values in rows:
            if code in known:
                pairs = tuple((name, value) for name, value in values)
                decisions.add(Decision(at, subject, pipeline, Code(code), pairs))
    decisions.counts.clear()
    return decisions


def _encode(decision: Decision) -> list[Any]:
    values = [[name, plain(value)] for name, value in decision.values]
    return [decision.at, decision.pipeline, decision.code.value, values]


def plain(value: object) -> str | int | float | None:
    """As it is, or as people read it."""
    return value if value is None or isinstance(value, str | int | float) else str(shown(value))
