"""``ci-gate shadow report``: where a live system and its shadow differed."""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import datetime

from sqlalchemy.exc import SQLAlchemyError

from ci_gate.cli.asking import add_config_argument
from ci_gate.cli.problems import print_problems
from ci_gate.config.problems import Level, RefusedError
from ci_gate.config.read_settings import find_settings_file, read_settings
from ci_gate.scheduler.codec import decode
from ci_gate.shadow.comparing import compare
from ci_gate.shadow.printing import as_json, as_text
from ci_gate.shadow.said import Said
from ci_gate.store.journal import default_address
from ci_gate.store.shadow import MARK, ShadowRecord

EQUAL, DIFFERENT, USAGE = 0, 1, 2
FAR = 1e12  # seconds since the epoch: later than anything


def add_arguments(parser: argparse.ArgumentParser) -> None:
    questions = parser.add_subparsers(dest="question", metavar="QUESTION", required=True)
    report = questions.add_parser("report", help="where the live system and the shadow differed")
    add_config_argument(report)
    report.add_argument("--from", dest="since", metavar="TIME", type=_time, default=0.0, help="what was said since")
    report.add_argument("--to", dest="until", metavar="TIME", type=_time, default=FAR, help="what was said before")
    report.add_argument("--pipeline", metavar="NAME", help="of this pipeline only")
    report.add_argument("--format", choices=("text", "json"), default="text", help="how to print (default: text)")


def _time(text: str) -> float:
    """``2026-11-25`` or ``2026-11-25T14:00``, local time unless it says otherwise."""
    try:
        return datetime.fromisoformat(text).astimezone().timestamp()
    except ValueError as problem:
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 2026-11-25 or 2026-11-25T14:00") from problem


def run(arguments: argparse.Namespace) -> int:
    """Exit status 0 if all that was compared is equal, 1 if something differs or the record cannot be read."""
    try:
        settings, _ = read_settings(find_settings_file(arguments.config))
    except RefusedError as refused:
        print_problems([each for each in refused.problems if each.level is Level.ERROR], sys.stderr)
        return DIFFERENT
    if not (settings.state_dir / MARK).exists():
        print(f"ci-gate shadow: no shadow has worked in state_dir {settings.state_dir}", file=sys.stderr)
        return DIFFERENT
    bodies = ShadowRecord(default_address(settings.state_dir)).between(arguments.since, arguments.until)
    try:
        said = [decode(json.loads(each), Said) for each in bodies]
    except SQLAlchemyError as problem:
        reason = str(problem).splitlines()[0]
        print(f"ci-gate shadow: the record in {settings.state_dir} cannot be read: {reason}", file=sys.stderr)
        return DIFFERENT
    comparison = compare(said, time.time(), pipeline=arguments.pipeline)
    if arguments.format == "json":
        print(json.dumps(as_json(comparison), indent=2))
    else:
        for line in as_text(comparison):
            print(line)
    return DIFFERENT if comparison.differences else EQUAL
