"""``ci-gate show running-jobs``: the jobs that have begun, as a table (outputs.md 8)."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ci_gate.cli.asking import REFUSED, add_config_argument, add_verbose_argument, answer_to

Job = Mapping[str, Any]

DEFAULT_COLUMNS = ("name", "worker.name", "start_time", "result")
WORKER_COLUMNS = tuple(f"worker.{each}" for each in ("name", "hostname", "ips", "fqdn", "program", "version", "extra"))
COLUMNS = (
    "name", "elapsed_time", "remaining_time", "url", "result", "voting", "uuid", "launch_time", "start_time",
    "end_time", "estimated_time", "pipeline", "canceled", "retry", "number", "node_labels", "node_name",
    *WORKER_COLUMNS,
)  # fmt: skip
TIMES = ("launch_time", "start_time", "end_time")
SPANS = ("elapsed_time", "remaining_time")
DONE, USAGE = 0, 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    subparsers = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    running = subparsers.add_parser("running-jobs", help="the jobs that have begun and not ended")
    add_config_argument(running)
    add_verbose_argument(running)
    running.add_argument(
        "--columns",
        metavar="LIST",
        default=",".join(DEFAULT_COLUMNS),
        help=f"columns, between commas, or ALL (default: {','.join(DEFAULT_COLUMNS)})",
    )
    running.add_argument("--format", choices=("text", "json"), default="text", help="how to print (default: text)")


def run(arguments: argparse.Namespace) -> int:
    wanted = tuple(each.strip().lower() for each in arguments.columns.split(","))
    columns = COLUMNS if wanted == ("all",) else wanted
    unknown = [each for each in columns if each not in COLUMNS]
    if unknown:
        known = ", ".join(COLUMNS)
        print(f"ci-gate show: unknown column {', '.join(unknown)}; known: {known}, ALL", file=sys.stderr)
        return USAGE
    answer = answer_to(arguments, "running-jobs")
    if answer is None:
        return REFUSED
    running = list(_running(answer.data))
    if arguments.format == "json":
        print(json.dumps(running, indent=2))
    elif running:
        for line in _table([columns, *([_shown(job, each) for each in columns] for job in running)]):
            print(line)
    else:
        print("No jobs are running.")
    return DONE


def _running(items: Any) -> Iterator[Job]:
    for item in items:
        for job in item["jobs"]:
            if job["start_time"] and not job["end_time"]:
                yield job


def _shown(job: Job, column: str) -> str:
    value: Any = job
    for part in column.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if value is None:
        return "-"
    if column in TIMES:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(value))
    if column in SPANS:
        return f"{value / 1000:.0f} s"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return json.dumps(value) if isinstance(value, Mapping | bool) else str(value)


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
