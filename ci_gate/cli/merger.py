"""``ci-gate merger``: merge for a service elsewhere, in the foreground; ``merger clear-refs``: delete old states."""

from __future__ import annotations

import argparse
import asyncio
import re
import signal
import sys
from collections.abc import Iterable

import structlog

from ci_gate import __version__
from ci_gate.cli.problems import print_reasons
from ci_gate.config.problems import Problem, RefusedError
from ci_gate.config.read_settings import error_at, find_settings_file, read_settings
from ci_gate.config.settings import Settings
from ci_gate.config.values import UNITS
from ci_gate.daemon.logs import LogConfigError, set_up_logging
from ci_gate.daemon.merger_process import MergerProcess
from ci_gate.daemon.refusals import merger_refusals
from ci_gate.daemon.stacks import dump_stacks
from ci_gate.merger.claim import ClaimError, check_git
from ci_gate.merger.clearing import clear_refs

DONE, REFUSED = 0, 1

log = structlog.stdlib.get_logger("zuul.MergeServer")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", "-c", metavar="FILE", help="the configuration file")
    parser.add_argument(
        "-d", action="store_true", help="accepted and ignored: the merger always stays in the foreground"
    )
    actions = parser.add_subparsers(dest="action", metavar="clear-refs")
    clearing = actions.add_parser("clear-refs", help="delete merged states that were of no use for long")
    clearing.add_argument("--config", "-c", metavar="FILE", default=argparse.SUPPRESS, help="the configuration file")
    clearing.add_argument(
        "--older-than", metavar="AGE", type=_age, help="as 30d or 12h; by default [merger] ref_retention"
    )
    clearing.add_argument("--dry-run", action="store_true", help="only count")
    clearing.add_argument("projects", metavar="PROJECT", nargs="*", help="only in these projects")


def _age(text: str) -> float:
    found = re.fullmatch(r"([0-9]+)\s*([smhdw])", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time; use a whole number and s, m, h, d or w, e.g. 30d")
    return float(int(found[1]) * UNITS[found[2]])


def run(arguments: argparse.Namespace) -> int:
    """Exit status 0 after a clean stop, 1 if it could not start."""
    try:
        settings, problems = read_settings(find_settings_file(arguments.config), for_merger=True)
        if arguments.action == "clear-refs":
            return _clear(arguments, settings)
    except RefusedError as refused:
        return _refuse(refused.problems)
    try:
        set_up_logging(settings.merger.log_config)
    except LogConfigError as problem:
        return _refuse([error_at(settings.path, "merger", "log_config", str(problem))])
    why_not = merger_refusals(settings)
    if why_not:
        return _refuse(why_not)
    for each in problems:
        log.info(each.text, at=each.location)
    try:
        check_git()
        asyncio.run(_serve(settings))
    except (ClaimError, OSError) as problem:
        return _refuse([str(problem)])
    return DONE


def _clear(arguments: argparse.Namespace, settings: Settings) -> int:
    age_s = settings.merger.ref_retention_s if arguments.older_than is None else arguments.older_than
    wanted = frozenset(arguments.projects)
    found = clear_refs(
        settings.merger.git_dir,
        age_s,
        is_wanted=lambda project: not wanted or project in wanted,
        only_count=arguments.dry_run,
    )
    refs = kept = 0
    status = DONE
    for each in found:
        refs, kept = refs + each.refs, kept + each.kept
        if each.refs:
            print(f"{each.project}: {each.refs} of {each.refs + each.kept}")
        elif each.problem:
            print(f"ci-gate: {each.project}: {each.problem}", file=sys.stderr)
            status = REFUSED
    done = "would be deleted" if arguments.dry_run else "deleted"
    print(f"{refs} states {done}, {kept} kept")
    return status


def _refuse(reasons: Iterable[Problem | str]) -> int:
    print_reasons(reasons)
    return REFUSED


async def _serve(settings: Settings) -> None:
    process = MergerProcess(settings)
    loop = asyncio.get_running_loop()

    def stop(name: str) -> None:
        log.info("stopping", signal=name)
        process.stop()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        loop.add_signal_handler(number, stop, number.name)
    loop.add_signal_handler(signal.SIGUSR2, dump_stacks)
    log.info("starting", version=__version__, config=settings.path)
    await process.run(lambda: log.info("merging", url=settings.merger.zuul_url, git_dir=settings.merger.git_dir))
    log.info("stopped")
