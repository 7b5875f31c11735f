"""Times of the timer trigger (layout.md 5.3.2)."""

from __future__ import annotations

import pytest

from ci_gate.config.layout.timespec import BadTimeError, check_timespec


@pytest.mark.parametrize(
    "text",
    [
        "0 6 * * *",
        "0 6 * * 0",
        "*/5 0-6/2 1,15,last jan-dec mon-fri",
        "0 0 LAST 6 SUN",
        "0 6 * * mon 30",
        "59 23 31 12 6 59",
        "  0   6 * *   * ",
    ],
)
def test_a_good_one(text):
    assert check_timespec(text) == text.split()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0 6 * *", "has 4 fields"),
        ("", "has 0 fields"),
        ("0 6 * * * 0 0", "has 7 fields"),
        ("60 6 * * *", "as minute, which goes from 0 to 59"),
        ("0 24 * * *", "as hour, which goes from 0 to 23"),
        ("0 6 0 * *", "as day, which goes from 1 to 31"),
        ("0 6 * 13 *", "as month, which goes from 1 to 12"),
        ("0 6 * * 7", "as weekday, which goes from 0 to 6; 0 is Monday"),
        ("0 6 * * * 60", "as second"),
        ("0 6 ? * *", 'has "?" as day'),
        ("0 5-3 * * *", "ends before it begins"),
        ("*/0 6 * * *", "a step of 0"),
        ("0 6 * * fri-mon", "ends before it begins"),
        ("0 6 * * ²", 'has "²" as weekday'),
        ("@daily", "has 1 field"),
    ],
)
def test_a_bad_one_names_the_field(text, reason):
    with pytest.raises(BadTimeError, match=reason.replace("?", r"\?").replace("*", r"\*")):
        check_timespec(text)
