"""What another layout would have changed, line by line, and in few words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict

from ci_gate.replay.telling import concerns
from ci_gate.replay.what_if import Change, WhatIf


def difference_lines(found: WhatIf, *, as_json: bool, subject: str | None = None) -> Iterator[str]:
    for each in found.changes:
        if concerns(each.subject, subject):
            yield json.dumps(asdict(each)) if as_json else f"{each.subject}  {each.pipeline}  {_text(each)}"


def summary(found: WhatIf) -> str:
    said = [f"{found.steps} steps, {found.compared} entries of changes and refs into pipelines"]
    for pipeline in dict.fromkeys(each.pipeline for each in found.changes):
        mine = [each for each in found.changes if each.pipeline == pipeline]
        more, less = (sum(wanted(each) for each in mine) for wanted in (_is_new, _is_gone))
        said.append(f"{pipeline}: {more} enter more, {less} less, {len(mine) - more - less} fare otherwise")
    if not found.changes:
        said.append("nothing would have gone differently")
    if found.asked_afresh:
        said.append(f"layout functions were asked afresh, {found.asked_afresh} times")
    if found.unfinished:
        said.append("not all came to rest: this is not the whole of it")
    return "; ".join(said)


def _is_new(change: Change) -> bool:
    return change.would and not change.was


def _is_gone(change: Change) -> bool:
    return change.was and not change.would


def _text(change: Change) -> str:
    if _is_gone(change):
        return f"would not have entered: {change.reason}"
    jobs = [f"+{name}{' (success assumed)' if name in change.assumed else ''}" for name in change.gained]
    jobs += [f"-{name}" for name in change.lost]
    parts = [" ".join(jobs)] if jobs else []
    if _is_new(change):
        parts.insert(0, "would have entered")
    if change.result_was != change.result_would:
        was = f"{change.result_was or 'no report'} → " if change.was else ""
        parts.append(f"{was}{change.result_would or 'no report'}")
    return ", ".join(parts)
