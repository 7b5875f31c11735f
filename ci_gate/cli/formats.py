"""Problems for machines: JSON, SARIF 2.1.0 for code scanners, and annotations of GitHub's workflow commands."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from ci_gate import __version__
from ci_gate.config.problems import Level, Problem

SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
SARIF_LEVELS = {Level.ERROR: "error", Level.WARNING: "warning", Level.NOTICE: "note", Level.NOTE: "note"}
GITHUB_COMMANDS = {Level.ERROR: "error", Level.WARNING: "warning", Level.NOTICE: "notice", Level.NOTE: "notice"}

Facts = Mapping[str, Any]


def as_json(problems: Sequence[Problem], facts: Facts) -> str:
    listed = [
        {
            "file": each.file,
            "line": each.line,
            "column": each.column,
            "level": str(each.level),
            "code": each.code,
            "text": each.text,
        }
        for each in problems
    ]
    return _dump({**facts, "problems": listed})


def as_sarif(problems: Sequence[Problem], _facts: Facts) -> str:
    rules = sorted({each.code or "configuration" for each in problems})
    driver = {"name": "ci-gate", "version": __version__, "rules": [{"id": each} for each in rules]}
    results = [_result(each) for each in problems]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return _dump({"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]})


def _result(problem: Problem) -> dict[str, Any]:
    place: dict[str, Any] = {"artifactLocation": {"uri": quote(problem.file)}}
    if problem.line:
        place["region"] = {"startLine": problem.line, "startColumn": max(problem.column, 1)}
    return {
        "ruleId": problem.code or "configuration",
        "level": SARIF_LEVELS[problem.level],
        "message": {"text": problem.text},
        "locations": [{"physicalLocation": place}],
    }


def as_github(problems: Iterable[Problem], _facts: Facts) -> str:
    return "\n".join(_annotation(each) for each in problems)


def _annotation(problem: Problem) -> str:
    fields = {"file": problem.file, "line": problem.line, "col": problem.column, "title": problem.code}
    given = ",".join(f"{name}={_escaped(str(value), ',:')}" for name, value in fields.items() if value)
    return f"::{GITHUB_COMMANDS[problem.level]} {given}::{_escaped(problem.text)}"


def _escaped(text: str, further: str = "") -> str:
    """Line ends, ``%`` and, in properties, the separators are written as their codes."""
    for each in "%\r\n" + further:
        text = text.replace(each, f"%{ord(each):02X}")
    return text


def _dump(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


FORMATS: Mapping[str, Callable[[Sequence[Problem], Facts], str]] = {
    "json": as_json,
    "sarif": as_sarif,
    "github": as_github,
}
