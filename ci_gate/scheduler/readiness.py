"""Would Gerrit submit a change now, our own labels aside? What stands against it, by name (gerrit-wire.md 4.6).

Rules (a), submit records, (b), submit requirements, which need HTTP, and (c), what SSH alone can tell.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from ci_gate.model.change import Change, SubmitRecord, normal_label
from ci_gate.model.layout import GerritReporter, Pipeline
from ci_gate.scheduler.requirements import passes

GIVEN = ("OK", "MAY")
OURS_TO_GIVE = ("NEED", "REJECT")


@dataclass(frozen=True, slots=True)
class Blocker:
    """``name`` is what it is (``not-open``, ``label``); ``detail`` which one."""

    name: str
    detail: str = ""


def own_labels(pipeline: Pipeline) -> frozenset[str]:
    """The labels that the pipeline's own success gives, by their normal names."""
    reporters = (each for each in pipeline.success if isinstance(each, GerritReporter))
    return frozenset(normal_label(name) for each in reporters for name, _ in each.labels)


def blockers(change: Change, ours: Collection[str]) -> frozenset[Blocker]:
    """Empty: ready. ``ours`` are normal names of labels that do not count."""
    found = set()
    if not change.is_open:
        found.add(Blocker("not-open", change.status))
    if change.wip:
        found.add(Blocker("wip"))
    if change.submit_requirements is None:
        return frozenset(found | _of_records(change.submit_records, ours))
    unmet = {Blocker("requirement", each.name) for each in change.submit_requirements if not passes(each, ours)}
    return frozenset(found | unmet)


def is_known(change: Change) -> bool:
    """Is a change without blockers really ready? If not, Gerrit may ask for something that it does not show."""
    return change.records_decide or change.submit_requirements is not None or change.is_submittable


def is_submittable(change: Change) -> bool:
    """Would Gerrit submit it as it is, by what it showed? (4.6, ``submittable``)"""
    return not blockers(change, ()) and is_known(change)


def _of_records(records: Collection[SubmitRecord], ours: Collection[str]) -> set[Blocker]:
    """One record that is OK is enough; else all that each of them lacks."""
    if any(each.status == "OK" for each in records):
        return set()
    if not records:
        return {Blocker("no-submit-record")}
    return {blocker for each in records for blocker in _of_record(each, ours)}


def _of_record(record: SubmitRecord, ours: Collection[str]) -> Iterator[Blocker]:
    if record.status != "NOT_READY":
        yield Blocker("submit-record", record.status)
        return
    for each in record.labels:
        if each.status in GIVEN or (each.status in OURS_TO_GIVE and normal_label(each.label) in ours):
            continue
        yield Blocker("label", f"{each.label}: {each.status}")
