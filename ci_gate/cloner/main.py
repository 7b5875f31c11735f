"""The command: ``zuul-cloner``, and ``ci-gate cloner`` behind its own parser. Prints to standard error only."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from types import FrameType

from ci_gate import __version__
from ci_gate.cloner import request as requests
from ci_gate.cloner.errors import ClonerError, UsageError
from ci_gate.cloner.workspace import prepare

DONE, FAILED, USAGE = 0, 1, 2
TERMINATED = 128 + signal.SIGTERM

_COLORS = {logging.DEBUG: "\033[2m", logging.WARNING: "\033[33m", logging.ERROR: "\033[31m"}
_RESET = "\033[0m"

log = logging.getLogger("ci_gate.cloner")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="zuul-cloner", description="Prepare working copies of projects as the change under test wants them."
    )
    add_arguments(parser)
    try:
        return run(parser.parse_args(arguments), name="zuul-cloner")
    except KeyboardInterrupt:
        return 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-v", "--verbose", action="store_true", help="log each git command and what it said")
    parser.add_argument("--color", action="store_true", help="colour the log by its levels")
    parser.add_argument("--version", action="version", version=f"ci-gate cloner {__version__}")
    requests.add_arguments(parser)


def run(given: argparse.Namespace, *, name: str) -> int:
    """Exit status: 0 done, 1 a project could not be prepared, 2 usage."""
    try:
        request = requests.read_request(given, os.environ)
    except UsageError as problem:
        print(f"{name}: {problem}", file=sys.stderr)  # noqa: T201 - a command speaks to who called it
        return USAGE
    _set_up_logging(logging.DEBUG if given.verbose else logging.INFO, color=given.color)
    previous = signal.signal(signal.SIGTERM, _terminate)
    begun = time.monotonic()
    try:
        prepare(request)
    except ClonerError as problem:
        log.error("%s", problem)  # noqa: TRY400 - the text says it all, a traceback says nothing to a job's author
        return FAILED
    finally:
        signal.signal(signal.SIGTERM, previous)
    log.info("prepared %d projects in %.1f s", len(request.projects), time.monotonic() - begun)
    return DONE


def _terminate(_: int, __: FrameType | None) -> None:
    """By an exception, so that running git processes are ended on the way out."""
    raise SystemExit(TERMINATED)


def _set_up_logging(level: int, *, color: bool) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter(color=color))
    log.handlers = [handler]
    log.propagate = False
    log.setLevel(level)


class _Formatter(logging.Formatter):
    def __init__(self, *, color: bool) -> None:
        super().__init__("%(asctime)s %(levelname)s %(project)s%(message)s")
        self._color = color

    def format(self, record: logging.LogRecord) -> str:
        project = record.name.removeprefix(log.name).removeprefix(".")
        record.project = f"{project}: " if project else ""
        line = super().format(record)
        before = _COLORS.get(record.levelno) if self._color else None
        return f"{before}{line}{_RESET}" if before else line
