"""When timer triggers fire (``spec/layout.md`` 5.3.2): local time, weekday 0 is Monday, day and weekday both count."""

from __future__ import annotations

import calendar
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from ci_gate.config.layout.timespec import MONTHS, WEEKDAYS

LAST = "last"
LONGEST_SEARCH_DAYS = 366 * 8 + 1  # the 29th of February on a given weekday may be further away: such never fire here


@dataclass(frozen=True, slots=True)
class Timespec:
    """A valid specification, field by field. ``days`` may hold 0, which stands for the last of the month."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    seconds: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> Timespec:
        """``text`` has passed the check of layouts: five or six fields."""
        fields = [*text.split(), "0"][:6]
        return cls(
            minutes=_numbers(fields[0], 0, 59),
            hours=_numbers(fields[1], 0, 23),
            days=frozenset(_numbers(fields[2], 1, 31)),
            months=frozenset(_numbers(fields[3], 1, 12, MONTHS)),
            weekdays=frozenset(_numbers(fields[4], 0, 6, WEEKDAYS)),
            seconds=_numbers(fields[5], 0, 59),
        )

    def next_after(self, moment: float, zone: tzinfo | None = None) -> float | None:
        """The first time later than ``moment``; both are seconds since the epoch. ``zone`` None: the process's own.

        A time that a change to summer time leaves out does not fire; one that comes twice fires the first time. None:
        not within eight years.
        """
        local = datetime.fromtimestamp(moment, UTC).astimezone(zone)
        day = local.date()
        for _ in range(LONGEST_SEARCH_DAYS):
            if self._on(day):
                for each in self._moments(day, zone):
                    if each > moment:
                        return each
            day += timedelta(days=1)
        return None

    def _on(self, day: date) -> bool:
        last = calendar.monthrange(day.year, day.month)[1]
        right_day = day.day in self.days or (0 in self.days and day.day == last)
        return right_day and day.month in self.months and day.weekday() in self.weekdays

    def _moments(self, day: date, zone: tzinfo | None) -> Iterator[float]:
        for hour in self.hours:
            for minute in self.minutes:
                for second in self.seconds:
                    naive = datetime.combine(day, time(hour, minute, second))
                    aware = naive.replace(tzinfo=zone) if zone else naive.astimezone()
                    there = datetime.fromtimestamp(aware.timestamp(), UTC).astimezone(zone)
                    if there.replace(tzinfo=None) == naive:
                        yield aware.timestamp()


def _numbers(text: str, lowest: int, highest: int, names: Sequence[str] = ()) -> tuple[int, ...]:
    found: set[int] = set()
    for part in text.lower().split(","):
        if part == LAST:
            found.add(0)
            continue
        bounds, _, step = part.partition("/")
        first, _, last = bounds.partition("-")
        if first == "*":
            begin, end = lowest, highest
        else:
            begin = _number(first, lowest, names)
            end = _number(last, lowest, names) if last else begin
        found.update(range(begin, end + 1, int(step or 1)))
    return tuple(sorted(found))


def _number(text: str, lowest: int, names: Sequence[str]) -> int:
    return names.index(text) + lowest if text in names else int(text)
