"""From a record to a bundle: chosen, put into other words, and replayed to see what that changed.

Three passes: the record is replayed, to learn what its expressions find and what is decided; everything is renamed;
the bundle is replayed, and its effects become the ones that later replays are compared with.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from ci_gate import __version__
from ci_gate.daemon.layouts import digest_of
from ci_gate.daemon.records import encode_effects
from ci_gate.daemon.recovery import Recording, layout_of, replay
from ci_gate.model.layout import Layout
from ci_gate.replay.bundle import Bundle, Verdict
from ci_gate.replay.names import OtherNames
from ci_gate.replay.running import Decided, Source, Span, run, segments, standing_at
from ci_gate.replay.telling import concerns
from ci_gate.replay.verdicts import Verdicts, renamed_layout
from ci_gate.scheduler.explain import Decision
from ci_gate.scheduler.inputs import LayoutReplaced
from ci_gate.store.journal import Entry, SnapshotRow

MOST_TOLD = 100  # steps that are named


@dataclass(frozen=True, slots=True)
class Exported:
    """``deviating`` are steps that the bundle decides otherwise than the record."""

    bundle: Bundle
    steps: int
    deviating: tuple[int, ...]


class NothingToExportError(Exception):
    """No step fits. The text is for the operator."""


def export(source: Source, span: Span, salt: bytes, subject: str | None = None) -> Exported:
    """With ``subject`` the span is narrowed to what lies between the first and the last decision about that change.

    ``salt`` is random. Raises NothingToExportError, and what ``run`` raises.
    """
    if subject is not None:
        span = _span_of(source, span, subject)
    verdicts, names = Verdicts(), OtherNames(salt)
    last, steps, otherwise = _steps_of(source, span, verdicts)
    rows = [row for each in segments(source, span) if each <= last and (row := source.snapshot(each)) is not None]
    digests = _layouts(source, rows, (each.step.entry for each in steps), names)
    bundle = Bundle(layouts=dict(digests.values()), tables=verdicts.tables(names))
    known = {digest: renamed for digest, (renamed, _) in digests.items()}
    for row in rows:
        bundle.rows[row.seq] = replace(row, layout=known[row.layout], body=_renamed_body(row.body, names))
    for each in steps:
        entry = each.step.entry
        bundle.steps[entry.seq] = _renamed_step(entry, names, known)
        bundle.verdicts[entry.seq] = _verdicts(each.decisions, names)
    deviating = _rehearse(bundle)
    bundle.facts = _facts(steps, otherwise, deviating)
    return Exported(bundle, len(steps), tuple(deviating))


def _span_of(source: Source, span: Span, subject: str) -> Span:
    times = [
        each.step.entry.at
        for each in run(source, span)
        if isinstance(each, Decided) and any(concerns(one.subject, subject) for one in each.decisions)
    ]
    if not times:
        raise NothingToExportError(f"nothing was decided about {subject} in that time")
    return Span(times[0], times[-1])


def _steps_of(source: Source, span: Span, verdicts: Verdicts) -> tuple[int, list[Decided], list[int]]:
    """The last step, all from the snapshot on, and those that this version decides otherwise."""

    def watched(recording: Recording, digest: str) -> Layout:
        return verdicts.watch(layout_of(recording, digest))

    steps = [each for each in run(source, span, watched, whole=True) if isinstance(each, Decided)]
    if not any(span.has(each.step.entry.at) for each in steps):
        raise NothingToExportError("nothing was recorded in that time")
    otherwise = [each.step.entry.seq for each in steps if not each.step.as_recorded]
    return steps[-1].step.entry.seq, steps, otherwise


def _layouts(
    source: Source, rows: Iterable[SnapshotRow], entries: Iterable[Entry], names: OtherNames
) -> dict[str, tuple[str, str]]:
    """Every layout that is named, by its digest: another digest, and its text in other words."""
    wanted = dict.fromkeys(row.layout for row in rows)
    for each in entries:
        if each.kind == LayoutReplaced.__name__:
            wanted[json.loads(each.input)["layout"]] = None
    found = {}
    for digest in wanted:
        text = renamed_layout(source.layout(digest) or "{}", names)
        found[digest] = (digest_of(text), text)
    return found


def _renamed_body(text: str, names: OtherNames) -> str:
    """The words in which decisions were told are left out."""
    body: dict[str, Any] = json.loads(text)
    return json.dumps({**names.value({**body, "decisions": []}), "decisions": []})


def _renamed_step(entry: Entry, names: OtherNames, digests: dict[str, str]) -> Entry:
    message = json.loads(entry.input)
    if entry.kind == LayoutReplaced.__name__:
        message = {**names.value({**message, "layout": ""}), "layout": digests[message["layout"]]}
    else:
        message = names.value(message)
    answers = [each for each in json.loads(entry.answers) if isinstance(each, list)]  # searches: in the tables
    renamed = [[names.value(parameters, "parameters"), names.value(error)] for parameters, error in answers]
    return replace(entry, input=json.dumps(message), answers=json.dumps(renamed), effects="[]")


def _verdicts(decisions: Iterable[Decision], names: OtherNames) -> list[Verdict]:
    return [(each.code.value, names.text(each.pipeline, "pipeline") if each.pipeline else None) for each in decisions]


def _rehearse(bundle: Bundle) -> list[int]:
    """Let the bundle have the effects and the memories of its own replay; the steps that are decided otherwise."""
    deviating, starts = [], bundle.snapshots()
    for start, end in zip(starts, [*starts[1:], None], strict=True):
        standing = standing_at(bundle, start, bundle.read_layout)
        for each in replay(bundle, standing, end, bundle.read_layout):
            seq = each.entry.seq
            bundle.steps[seq] = replace(each.entry, effects=encode_effects(each.decided))
            decided = [(one.code.value, one.pipeline) for one in standing.scheduler.last_decisions]
            if decided != bundle.verdicts[seq]:
                deviating.append(seq)
        if end is not None:
            bundle.remember(end, standing.scheduler.snapshot())
    return deviating


def _facts(steps: list[Decided], otherwise: list[int], deviating: list[int]) -> dict[str, Any]:
    return {
        "version": __version__,
        "python": platform.python_version(),
        "steps": len(steps),
        "from": steps[0].step.entry.at,
        "to": steps[-1].step.entry.at,
        "decided_otherwise": otherwise[:MOST_TOLD],
        "decided_otherwise_count": len(otherwise),
        "deviating": deviating[:MOST_TOLD],
        "deviating_count": len(deviating),
    }
