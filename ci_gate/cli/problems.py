"""How commands show problems: one line each, for a person with the offending line and a caret below."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

from ci_gate.config.problems import Level, Problem

BOLD, DIM, RESET = "\033[1m", "\033[2m", "\033[0m"
COLOURS = {Level.ERROR: "\033[31m", Level.WARNING: "\033[33m", Level.NOTICE: "\033[36m", Level.NOTE: "\033[36m"}
WIDEST_LINE = 160
LINE_END = re.compile("\r\n|[\r\n\x85\u2028\u2029]")  # YAML's
HIDDEN = {"\t": " "}


def print_problems(problems: Iterable[Problem], out: TextIO | None = None) -> None:
    """Print each problem with the line that it is about. In colour on a terminal, unless NO_COLOR is set."""
    out = out or sys.stdout
    coloured = out.isatty() and not os.environ.get("NO_COLOR")
    sources = _Sources()
    for problem in problems:
        print(_headline(problem) if coloured else str(problem), file=out)
        for line in _excerpt(sources.line(problem), problem, coloured=coloured):
            print(line, file=out)


def print_reasons(reasons: Iterable[Problem | str]) -> None:
    """Why something does not start, a line each, on standard error: mistakes in a file at their place, and the rest."""
    for each in reasons:
        if not isinstance(each, Problem):
            print(f"ci-gate: cannot start: {each}", file=sys.stderr)
        elif each.level is not Level.NOTE:
            print(each, file=sys.stderr)


def _headline(problem: Problem) -> str:
    code = f" {DIM}[{problem.code}]{RESET}" if problem.code else ""
    level = f"{COLOURS[problem.level]}{problem.level}:{RESET}"
    return f"{BOLD}{problem.location}:{RESET} {level} {problem.text}{code}"


def _excerpt(line: str, problem: Problem, *, coloured: bool) -> list[str]:
    if not line.strip() or not problem.column or problem.column > WIDEST_LINE:
        return []
    shown = _printable(line[:WIDEST_LINE])
    caret = "".join(map(_blank, shown[: problem.column - 1])) + "^"
    return [f"    {shown}", f"    {COLOURS[problem.level]}{caret}{RESET}" if coloured else f"    {caret}"]


def _printable(line: str) -> str:
    """Character by character; what a terminal would act on is only hinted at."""
    if line.isprintable():
        return line
    return "".join(each if each.isprintable() else HIDDEN.get(each, "�") for each in line)


def _blank(character: str) -> str:
    """As wide as the character is on a terminal."""
    if character.isascii():
        return " "
    from unicodedata import combining, east_asian_width  # noqa: PLC0415  # few layouts need it

    if combining(character):
        return ""
    return "  " if east_asian_width(character) in ("W", "F") else " "


class _Sources:
    """The lines of the files that problems name; a file that cannot be read has none."""

    def __init__(self) -> None:
        self._files: dict[str, list[str]] = {}

    def line(self, problem: Problem) -> str:
        if not problem.line:
            return ""
        if problem.file not in self._files:
            try:
                text = Path(problem.file).read_text(encoding="utf-8-sig", errors="replace")
            except OSError:
                text = ""
            self._files[problem.file] = LINE_END.split(text)
        lines = self._files[problem.file]
        return lines[problem.line - 1] if problem.line <= len(lines) else ""
