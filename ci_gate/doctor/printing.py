"""Findings as lines for people, and as one JSON document for machines."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping

from ci_gate.doctor.check import Check, Mark

SIGNS: Mapping[Mark, str] = {Mark.GOOD: "✓", Mark.WRONG: "✗", Mark.UNKNOWN: "?", Mark.NOT_TRIED: "–"}
PLAIN_SIGNS: Mapping[Mark, str] = {Mark.GOOD: "ok", Mark.WRONG: "XX", Mark.UNKNOWN: "? ", Mark.NOT_TRIED: "- "}
COLOURS: Mapping[Mark, str] = {
    Mark.GOOD: "\033[32m", Mark.WRONG: "\033[31m", Mark.UNKNOWN: "\033[33m", Mark.NOT_TRIED: "\033[2m",
}  # fmt: skip
BOLD, DIM, RESET = "\033[1m", "\033[2m", "\033[0m"
WIDTH = 15


class Lines:
    """One check after the other. ``encoding`` is that of the output: not every one has our signs."""

    def __init__(self, *, coloured: bool, encoding: str) -> None:
        self._coloured = coloured
        self._signs, self._arrow = (SIGNS, "→") if _fits("✗→–", encoding) else (PLAIN_SIGNS, "->")
        self._encoding = encoding
        self._group = ""
        self._marks: Counter[Mark] = Counter()

    def of(self, check: Check) -> list[str]:
        """With a heading where a group begins."""
        lines = []
        if check.group != self._group:
            self._group = check.group
            lines += [""] if self._marks else []
            lines.append(self._in(BOLD, self._printable(check.group)))
        finding = check.finding
        self._marks[finding.mark] += 1
        sign = self._in(COLOURS[finding.mark], self._signs[finding.mark])
        text = self._printable(finding.text)
        text = self._in(DIM, text) if finding.mark is Mark.NOT_TRIED else text
        lines.append(f"  {sign} {check.name:{WIDTH}} {text}")
        if finding.fix:
            fix = self._in(BOLD, self._printable(finding.fix))
            lines.append(f"    {'':{WIDTH}} {self._arrow} {fix}")
        return lines

    @property
    def conclusion(self) -> str:
        wrong, unknown, untried = (self._marks[each] for each in (Mark.WRONG, Mark.UNKNOWN, Mark.NOT_TRIED))
        parts = [f"{wrong} wrong" if wrong else "nothing is wrong"]
        parts += [f"{unknown} cannot be told"] if unknown else []
        parts += [f"{untried} not tried"] if untried else []
        verdict = f"{self._marks.total()} checks: {', '.join(parts)}"
        return self._in(COLOURS[Mark.WRONG if wrong else Mark.GOOD], verdict)

    def _in(self, style: str, text: str) -> str:
        return f"{style}{text}{RESET}" if self._coloured else text

    def _printable(self, text: str) -> str:
        """On one line: servers' words are in it, and may hold anything."""
        shown = "".join(each if each.isprintable() else " " for each in text)
        return shown.encode(self._encoding, "replace").decode(self._encoding)


def document(checks: Iterable[Check]) -> str:
    """``healthy`` is false if anything is wrong. Marks: good, wrong, unknown, not-tried."""
    listed = list(checks)
    counts = Counter(each.finding.mark for each in listed)
    return json.dumps(
        {
            "healthy": not counts[Mark.WRONG],
            "counts": {mark.value: counts[mark] for mark in Mark},
            "checks": [
                {
                    "group": each.group,
                    "name": each.name,
                    "mark": each.finding.mark.value,
                    "text": each.finding.text,
                    "fix": each.finding.fix,
                    "items": each.finding.items,
                    "took_s": round(each.took_s, 3),
                }
                for each in listed
            ],
        },
        indent=2,
    )


def _fits(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
