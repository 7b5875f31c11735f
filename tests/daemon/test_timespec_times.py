"""When timers fire: compared with APScheduler 3, which gave the older service its meaning (layout.md 5.3.2)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from apscheduler.triggers.cron import CronTrigger
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from ci_gate.config.layout.timespec import MONTHS, WEEKDAYS, check_timespec
from ci_gate.daemon.timespec import Timespec

BERLIN = ZoneInfo("Europe/Berlin")
NAMES = ("minute", "hour", "day", "month", "day_of_week", "second")


def moment(text: str, zone: object = UTC) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


def fires(text: str, after: str, zone: object = UTC) -> str:
    found = Timespec.parse(text).next_after(moment(after, zone), zone)
    return datetime.fromtimestamp(found, zone).strftime("%Y-%m-%d %H:%M:%S")


@pytest.mark.parametrize(
    ("text", "after", "then"),
    [
        ("0 2 * * *", "2026-11-24 01:59:59", "2026-11-24 02:00:00"),
        ("0 2 * * *", "2026-11-24 02:00:00", "2026-11-25 02:00:00"),
        ("0 0 * * 0", "2026-11-24 00:00:00", "2026-11-30 00:00:00"),
        ("0 0 * * sun", "2026-11-24 00:00:00", "2026-11-29 00:00:00"),
        ("0 0 last * *", "2027-02-01 00:00:00", "2027-02-28 00:00:00"),
        ("0 0 13 * fri", "2026-11-24 00:00:00", "2027-08-13 00:00:00"),
        ("0 0 1 6 *", "2026-11-24 00:00:00", "2027-06-01 00:00:00"),
        ("0 0 1 JUN *", "2026-11-24 00:00:00", "2027-06-01 00:00:00"),
        ("*/20 8-9 * * mon-fri", "2026-11-27 09:40:00", "2026-11-30 08:00:00"),
        ("0 0 * * * 30", "2026-11-24 00:00:00", "2026-11-24 00:00:30"),
        ("5,35 * * * *", "2026-11-24 00:05:00", "2026-11-24 00:35:00"),
        ("0 0 29 2 *", "2026-11-24 00:00:00", "2028-02-29 00:00:00"),
    ],
)
def test_the_next_time(text, after, then):
    assert fires(text, after) == then


def test_a_time_that_summer_time_leaves_out_does_not_fire():
    assert fires("30 2 * * *", "2027-03-27 12:00:00", BERLIN) == "2027-03-29 02:30:00"


def test_a_time_that_comes_twice_fires_the_first_time():
    spec = Timespec.parse("30 2 * * *")
    first = spec.next_after(moment("2026-10-24 12:00:00", BERLIN), BERLIN)
    assert datetime.fromtimestamp(first, UTC).strftime("%H:%M") == "00:30"
    assert datetime.fromtimestamp(spec.next_after(first, BERLIN), BERLIN).strftime("%d %H:%M") == "26 02:30"


def test_what_never_comes_is_never():
    assert Timespec.parse("0 0 31 2 *").next_after(moment("2026-11-24 00:00:00"), UTC) is None


def number(lowest: int, highest: int, names: tuple[str, ...] = ()) -> st.SearchStrategy[str]:
    plain = st.integers(lowest, highest).map(str)
    return st.one_of(plain, st.sampled_from(names)) if names else plain


def field(lowest: int, highest: int, names: tuple[str, ...] = (), extra: tuple[str, ...] = ()):
    ranges = st.tuples(st.integers(lowest, highest), st.integers(lowest, highest), st.sampled_from(["", "/2", "/7"]))
    part = st.one_of(
        number(lowest, highest, names),
        st.integers(1, highest).map(lambda step: f"*/{step}"),
        ranges.map(lambda found: f"{min(found[:2])}-{max(found[:2])}{found[2]}"),
        *([st.sampled_from(extra)] if extra else []),
    )
    return st.one_of(st.just("*"), st.lists(part, min_size=1, max_size=3).map(",".join))


SPECS = st.tuples(
    field(0, 59), field(0, 23), field(1, 31, extra=("last",)), field(1, 12, MONTHS), field(0, 6, WEEKDAYS), field(0, 59)
)


@given(SPECS, st.integers(1_600_000_000, 2_000_000_000))
@settings(max_examples=300, deadline=None)
def test_it_fires_when_the_older_service_would_have(fields, now):
    text = " ".join(fields)
    check_timespec(text)
    try:
        trigger = CronTrigger(timezone=UTC, **dict(zip(NAMES, fields, strict=True)))
    except ValueError:  # steps that are longer than their range, which later releases of it refuse
        reject()
    # Both look for times after this moment; the other one begins with the moment itself.
    expected = trigger.get_next_fire_time(None, datetime.fromtimestamp(now, UTC) + timedelta(microseconds=1))
    found = Timespec.parse(text).next_after(now, UTC)
    horizon = datetime.fromtimestamp(now, UTC) + timedelta(days=366 * 7)
    if expected is None or expected > horizon:
        assert found is None or found > horizon.timestamp()
    else:
        assert found == expected.timestamp()
