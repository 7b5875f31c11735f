"""``ci-gate shadow report``: where a live system and its shadow differed."""

from __future__ import annotations

import argparse
import json
import sys
import time

from sqlalchemy.exc import SQLAlchemyError

from ci_gate.cli.asking import add_config_argument
from ci_gate.cli.recorded import settings_of
from ci_gate.cli.times import add_span_arguments
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
    add_span_arguments(report, since="what was said since", until="what was said before")
    report.add_argument("--pipeline", metavar="NAME", help="of this pipeline only")
    report.add_argument("--format", choices=("text", "json"), default="text", help="how to print (default: text)")


def run(arguments: argparse.Namespace) -> int:
    """Exit status 0 if all that was compared is equal, 1 if something differs or the record cannot be read."""
    settings = settings_of(arguments)
    if settings is None:
        return DIFFERENT
    if not (settings.state_dir / MARK).exists():
        print(f"ci-gate shadow: no shadow has worked in state_dir {settings.state_dir}", file=sys.stderr)
        return DIFFERENT
    since, until = arguments.since, arguments.until
    record = ShadowRecord(default_address(settings.state_dir))
    bodies = record.between(0.0 if since is None else since, FAR if until is None else until)
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
