"""``ci-gate builds``: builds that have ended, newest first, from the history in the journal's database."""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any

from ci_gate.cli.recorded import DONE, REFUSED, UnreadableError, reading, settings_of
from ci_gate.cli.times import add_span_arguments

Build = Mapping[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", "-c", metavar="FILE", help="the configuration file, which names the database")
    parser.add_argument("--project", metavar="NAME", help="only builds of this project")
    parser.add_argument("--change", metavar="NUMBER[,PATCHSET]", type=_change, help="only builds of this change")
    parser.add_argument("--pipeline", metavar="NAME", help="only builds in this pipeline")
    parser.add_argument("--job", metavar="NAME", help="only builds of this job")
    parser.add_argument("--result", metavar="RESULT", help="only builds with this result, as FAILURE")
    parser.add_argument("--branch", metavar="NAME", help="only builds of changes for this branch")
    add_span_arguments(parser, since="only builds that ended from then on", until="only builds that ended until then")
    parser.add_argument("--limit", metavar="N", type=_positive, default=50, help="at most so many (default: 50)")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how to print (default: text)")


def _change(text: str) -> tuple[int, int | None]:
    found = re.fullmatch(r"(\d{1,18})(?:,(\d{1,18}))?", text, re.ASCII)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no change; give 12 or 12,3")
    return int(found[1]), int(found[2]) if found[2] else None


def _positive(text: str) -> int:
    if not re.fullmatch(r"[1-9]\d{0,8}", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of builds; give 1 or more")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    settings = settings_of(arguments)
    if settings is None:
        return REFUSED
    from ci_gate.daemon.beginning import address_of  # noqa: PLC0415  # half a second that usage errors need not cost

    address = address_of(settings)
    try:
        with reading(address):
            found = _find(arguments, address)
    except UnreadableError as problem:
        print(f"ci-gate builds: {problem}", file=sys.stderr)
        return REFUSED
    for line in map(json.dumps, found) if arguments.format == "json" else _table(found):
        print(line)
    return DONE


def _find(arguments: argparse.Namespace, address: str) -> list[dict[str, Any]]:
    from ci_gate.store.reading import reading_engine  # noqa: PLC0415  # as above
    from ci_gate.store.searching import Wanted, find_builds  # noqa: PLC0415  # as above

    change, patchset = arguments.change or (None, None)
    wanted = Wanted(
        project=arguments.project,
        change=change,
        patchset=patchset,
        pipeline=arguments.pipeline,
        job=arguments.job,
        result=arguments.result,
        branch=arguments.branch,
        since=arguments.since,
        until=arguments.until,
        limit=arguments.limit,
    )
    return find_builds(reading_engine(address), wanted)


def _table(found: Iterable[Build]) -> Iterable[str]:
    rows = [_row(each) for each in found]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _row(build: Build) -> tuple[str, ...]:
    started, ended = build["start_time"], build["end_time"]
    took = f"{ended - started:.0f} s" if started is not None and ended is not None else "-"
    change = f"{build['change']},{build['patchset']}" if build["change"] is not None else build["ref"] or "-"
    return (
        time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(build["at"])),
        build["result"] if build["voting"] else f"{build['result']} (non-voting)",
        build["job_name"],
        build["project"],
        change,
        build["pipeline"],
        took,
        build["log_url"] or build["url"] or "",
    )
