"""``ci-gate doctor``: looks at everything that an operator may get wrong, and says how to put it right."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from ci_gate.cli.asking import add_config_argument
from ci_gate.config.problems import RefusedError
from ci_gate.config.read_settings import find_settings_file
from ci_gate.doctor.check import Check, Mark
from ci_gate.doctor.examination import examine
from ci_gate.doctor.printing import Lines, document
from ci_gate.doctor.running import UnwaitedThreads

DONE, PROBLEMS = 0, 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_argument(parser)
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how to print (default: text)")


def run(arguments: argparse.Namespace) -> int:
    """Exit status 0 if nothing is wrong, 1 if something is."""
    try:
        config = find_settings_file(arguments.config)
    except RefusedError as refused:
        print(refused, file=sys.stderr)
        return PROBLEMS
    with _silence():
        checks = asyncio.run(_examined(config, tell=arguments.format == "text"))
    if arguments.format == "json":
        print(document(checks))
    return PROBLEMS if any(each.finding.mark is Mark.WRONG for each in checks) else DONE


async def _examined(config: Path, *, tell: bool) -> list[Check]:
    asyncio.get_running_loop().set_default_executor(UnwaitedThreads())
    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    lines = Lines(coloured=coloured, encoding=sys.stdout.encoding or "ascii")
    checks = []
    async for check in examine(config):
        checks.append(check)
        for line in lines.of(check) if tell else ():
            print(line, flush=True)
    if tell:
        print(f"\n{lines.conclusion}")
    return checks


@contextmanager
def _silence() -> Iterator[None]:
    """What libraries and adapters would log is in the findings."""
    before = structlog.get_config() if structlog.is_configured() else None
    silent = logging.NullHandler()
    logging.getLogger().addHandler(silent)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        logging.getLogger().removeHandler(silent)
        structlog.reset_defaults()
        if before is not None:
            structlog.configure(**before)
