"""A report as rows of the tables: what does not fit is cut, what the column cannot hold is left out (outputs.md 4)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ci_gate.model.report import BuildRecord, ResultRecord
from ci_gate.sql.schema import LONGEST_STRING, LONGEST_UUID

LONGEST_TEXT = 65_535  # bytes: MySQL's TEXT
LARGEST_INTEGER = 2**31 - 1
MOST_DIGITS = len(str(LARGEST_INTEGER))

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rows:
    """A row of ``zuul_buildset`` and those of ``zuul_build`` that belong to it, without ids."""

    buildset: Row
    builds: tuple[Row, ...]


def rows_of(record: ResultRecord, *, ascii_only: bool = False) -> Rows:
    """``ascii_only``: other characters become ``?``, for databases whose encoding lacks them."""
    encoding = "ascii" if ascii_only else "utf-8"

    def text(value: str | None, longest: int = LONGEST_STRING) -> str | None:
        return None if value is None else _clean(value, encoding)[:longest]

    def build(each: BuildRecord) -> Row:
        return {
            "uuid": text(each.uuid, LONGEST_UUID),
            "job_name": text(each.job),
            "result": text(each.result),
            "start_time": _local(each.started_at),
            "end_time": _local(each.ended_at),
            "voting": each.voting,
            "log_url": text(each.log_url),
            "node_name": text(each.node_name),
        }

    buildset = {
        "zuul_ref": text(record.zuul_ref),
        "pipeline": text(record.pipeline),
        "project": text(record.project),
        "change": _number(record.change),
        "patchset": _number(record.patchset),
        "ref": text(record.ref),
        "score": max(-LARGEST_INTEGER, min(record.score, LARGEST_INTEGER)),
        "message": _clean(record.message, encoding).encode()[:LONGEST_TEXT].decode(errors="ignore"),
    }
    return Rows(buildset, tuple(build(each) for each in record.builds))


def _clean(text: str, encoding: str) -> str:
    """PostgreSQL takes no NUL, and nobody takes half a surrogate pair."""
    return text.replace("\0", "").encode(encoding, "replace").decode(encoding)


def _number(text: str | None) -> int | None:
    if text is None or len(text) > MOST_DIGITS or not (text.isascii() and text.isdigit()):
        return None
    return int(text) if int(text) <= LARGEST_INTEGER else None


def _local(at: float | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(at)  # noqa: DTZ006  # local, without zone, as Zuul 2 writes
