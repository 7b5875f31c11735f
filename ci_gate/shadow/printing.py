"""A comparison as people and as machines read it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict

from ci_gate.shadow.comparing import Comparison, Found


def as_text(comparison: Comparison) -> Iterator[str]:
    """Lines: a summary, and each difference with what the shadow had decided."""
    compared, equal = comparison.compared, comparison.equal
    yield (
        f"{compared} item{'' if compared == 1 else 's'} compared: {equal} equal, {compared - equal} differing; "
        f"{comparison.pending} wait for the other side"
    )
    for kind, count in sorted(comparison.by_kind.items()):
        yield f"  {kind}: {count}"
    for each in comparison.differences:
        yield ""
        yield from _difference(each)


def _difference(found: Found) -> Iterator[str]:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(found.at))
    yield f"{when}  {found.project}  {found.change}  {found.pipeline or '-'}  {found.kind}"
    yield from (f"    {each}" for each in found.details)
    yield from (f"      shadow decided: {each}" for each in found.reasons)


def as_json(comparison: Comparison) -> dict[str, object]:
    """Ready for JSON."""
    return {
        "compared": comparison.compared,
        "equal": comparison.equal,
        "no_answer": comparison.no_answer,
        "pending": comparison.pending,
        "by_kind": dict(comparison.by_kind),
        "differences": [asdict(each) for each in comparison.differences],
    }
