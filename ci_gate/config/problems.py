"""What is wrong with a file an operator wrote, where, and what would be right (``spec/layout.md`` 1)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    ERROR = "error"
    WARNING = "warning"
    NOTICE = "notice"  # settings only: one line in the log, nothing else changes
    NOTE = "note"  # layouts only: shown on request


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding. Lines and columns count from 1; 0 means that there is no such position."""

    file: str
    line: int
    column: int
    level: Level
    text: str
    code: str = ""

    @property
    def location(self) -> str:
        return ":".join([self.file, *(str(part) for part in (self.line, self.column) if part)])

    def __str__(self) -> str:
        """``layout.yaml:14:7: error: unknown pipeline "chek"; did you mean "check"? [unknown-pipeline]``."""
        return f"{self.location}: {self.level}: {self.text}" + (f" [{self.code}]" if self.code else "")


def has_errors(problems: Iterable[Problem]) -> bool:
    return any(each.level is Level.ERROR for each in problems)


class RefusedError(Exception):
    """A file cannot be used; ``problems`` has at least one error."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(each) for each in self.problems))
