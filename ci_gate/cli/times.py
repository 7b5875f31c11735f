"""Times on the command line: a date, a date with a time, seconds since the epoch, or how long ago."""

from __future__ import annotations

import argparse
import re
import time
from datetime import datetime

AGE = re.compile(r"(\d+)([smhdw])")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
HELP = "a local time (2026-11-25, 2026-11-25T14:30), seconds since the epoch, or an age (90m, 2h, 3d)"


def time_argument(text: str) -> float:
    """Seconds since the epoch. Raises ArgumentTypeError."""
    age = AGE.fullmatch(text)
    if age:
        return time.time() - int(age[1]) * SECONDS[age[2]]
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError) as problem:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; give {HELP}") from problem


def add_span_arguments(parser: argparse.ArgumentParser, *, since: str, until: str) -> None:
    parser.add_argument("--from", dest="since", metavar="TIME", type=time_argument, help=f"{since}: {HELP}")
    parser.add_argument("--to", dest="until", metavar="TIME", type=time_argument, help=until)
