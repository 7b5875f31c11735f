"""Times of the timer trigger: five or six fields, weekday 0 is Monday (``spec/layout.md`` 5.3.2)."""

from __future__ import annotations

import re
from typing import NamedTuple

from ci_gate.config.layout.reader import shortened

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
PART = re.compile(
    r"(?P<all>\*)(/(?P<step>\d{1,4}))?|(?P<first>\w{1,4})(-(?P<last>\w{1,4})(/(?P<range_step>\d{1,4}))?)?", re.ASCII
)


class Field(NamedTuple):
    """One field: its bounds, and the names that stand for numbers from ``lowest`` on."""

    name: str
    lowest: int
    highest: int
    names: tuple[str, ...] = ()


FIELDS = (
    Field("minute", 0, 59),
    Field("hour", 0, 23),
    Field("day", 1, 31),
    Field("month", 1, 12, MONTHS),
    Field("weekday", 0, 6, WEEKDAYS),
    Field("second", 0, 59),
)
MONTH = 3
FEWEST_FIELDS = 5


class BadTimeError(Exception):
    """Not a time specification; the text names the field."""


def check_timespec(text: str) -> list[str]:
    """The fields of a time specification, in its order. Raises BadTimeError."""
    fields = text.split()
    if not FEWEST_FIELDS <= len(fields) <= len(FIELDS):
        raise BadTimeError(f"has {len(fields)} {'field' if len(fields) == 1 else 'fields'}")
    for field, written in zip(FIELDS, fields, strict=False):
        for part in written.split(","):
            _check_part(field, part)
    return fields


def _check_part(field: Field, part: str) -> None:
    if field.name == "day" and part.lower() == "last":
        return
    found = PART.fullmatch(part)
    if found is None:
        raise BadTimeError(f'has "{shortened(part)}" as {field.name}')
    step = found["step"] or found["range_step"]
    if step is not None and int(step) < 1:
        raise BadTimeError(f'has a step of 0 in "{part}" as {field.name}')
    if found["all"]:
        return
    first = _number(field, found["first"], part)
    last = _number(field, found["last"], part) if found["last"] else first
    if last < first:
        raise BadTimeError(f'has "{part}" as {field.name}, which ends before it begins')


def _number(field: Field, text: str, part: str) -> int:
    if text.lower() in field.names:
        return field.names.index(text.lower()) + field.lowest
    if not text.isdigit():
        raise BadTimeError(f'has "{part}" as {field.name}')
    if not field.lowest <= int(text) <= field.highest:
        monday = "; 0 is Monday and 6 is Sunday" if field.name == "weekday" else ""
        raise BadTimeError(f'has "{part}" as {field.name}, which goes from {field.lowest} to {field.highest}{monday}')
    return int(text)
