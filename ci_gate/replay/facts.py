"""What a run came to, by subject and pipeline, from its decisions: of what was, and of what would have been."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ci_gate.scheduler.explain import Code, Decision

Place = tuple[str, str]
"""A subject as decisions name it (``12,3``, or a ref), and a pipeline."""

SETTLED = frozenset({Code.REPORTED, Code.SILENT, Code.NO_JOBS})
OF_A_JOB = frozenset({Code.LAUNCHED, Code.BUILD_ENDED, Code.KEPT})


@dataclass(slots=True)
class Fact:
    """``jobs`` are those that were launched, or had a result, in order. ``last`` was decided last before it entered."""

    entered: bool = False
    settled: bool = False
    jobs: dict[str, None] = field(default_factory=dict)
    result: str | None = None
    last: Decision | None = None

    @property
    def was_inside(self) -> bool:
        """It entered, or had done so before."""
        return self.entered or self.settled or bool(self.jobs)


@dataclass(slots=True)
class Facts:
    by_place: dict[Place, Fact] = field(default_factory=dict)

    def add(self, decisions: Iterable[Decision]) -> None:
        for each in decisions:
            if each.pipeline is not None:
                _add(self.by_place.setdefault((each.subject, each.pipeline), Fact()), each)


def _add(fact: Fact, decision: Decision) -> None:
    values = dict(decision.values)
    if decision.code is Code.ENTERED:
        fact.entered = True
    elif decision.code in OF_A_JOB:
        fact.jobs[str(values["job"])] = None
    elif decision.code in SETTLED:
        fact.settled = True
        fact.result = str(values["result"]) if "result" in values else None
    elif not fact.entered:
        fact.last = decision
