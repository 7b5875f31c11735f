"""``ci-gate COMMAND …``: finds the command's module and hands over. Only that one is imported, to feel instant."""

from __future__ import annotations

import argparse
import atexit
import contextlib
import errno
import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import NoReturn

from ci_gate import __version__

COMMANDS = {
    "serve": "run the service",
    "merger": "merge for a service elsewhere; clear-refs deletes old merged states",
    "validate": "check a layout (and a configuration file)",
    "doctor": "look at everything that can be set up wrongly",
    "enqueue": "put a change into a pipeline",
    "enqueue-ref": "put an update of a ref into a pipeline",
    "dequeue": "take a change or a ref out of a pipeline",
    "promote": "bring changes to the front of their queue",
    "replay": "decide once more what was recorded, or what it would be with another layout",
    "journal": "export part of the journal without names, for a bug report",
    "explain": "tell what was decided about a change, and why",
    "builds": "list builds that have ended",
    "show": "show the jobs that are running",
    "reload": "let the running service read its layout again",
    "rescue": "keep what can be read of a damaged journal",
    "layout": "answer what a layout decides: jobs, events, queues",
    "cloner": "prepare working copies of projects inside a job",
    "gearman": "run the job server on its own, apart from the service",
    "worker": "run plain commands as jobs",
    "shadow": "tell where a live system and its shadow differed",
    "jenkins": "run builds on Jenkinses that lack the Gearman plugin",
    "migrate": "take over a site of Zuul 2, or of Jenkins' Gerrit Trigger plugin",
    "demo": "show the main job on a simulated Gerrit and Jenkins",
}


def entry() -> NoReturn:
    """What the installed command calls."""
    try:
        leave(main())
    except OSError as problem:
        if problem.errno != errno.ENOSPC:
            raise
        print(f"ci-gate: cannot write the output: {problem.strerror}", file=sys.stderr)
        os._exit(1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 1 refused or problems found, 2 usage."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    gc.disable()  # imports leave no garbage that is worth looking for
    try:
        parsed = _parsed(given)
        module = _module_of(parsed.command)
    finally:
        gc.enable()
    try:
        status: int = module.run(parsed)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # whoever read us has gone; Python would complain about it at exit
        return 141
    return status


def _parsed(given: list[str]) -> argparse.Namespace:
    command = next((each for each in given if not each.startswith("-")), None)
    parser = argparse.ArgumentParser(prog="ci-gate", description="CI gating for Gerrit.")
    _add_version(parser)
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if name == command:
            _module_of(name).add_arguments(subparser)
            _add_version(subparser)
    return parser.parse_args(given)


def _add_version(parser: argparse.ArgumentParser) -> None:
    """Programs of Zuul's take it, and stand-ins for them are called by a command; the cloner has its own."""
    with contextlib.suppress(argparse.ArgumentError):
        parser.add_argument("--version", action="version", version=f"ci-gate {__version__}")


def leave(status: int) -> NoReturn:
    """End the process: at once, if nothing is left to run but taking thousands of objects apart.

    Functions that a layout includes may have started threads, or asked to be called at exit.
    """
    try:
        for each in (sys.stdout, sys.stderr):
            if each is not None and not each.closed:
                each.flush()
    except BrokenPipeError:
        os._exit(141)
    threads = sys.modules.get("threading")
    if (threads is None or threads.active_count() == 1) and not atexit._ncallbacks():  # noqa: SLF001  # no other way
        os._exit(status)
    sys.exit(status)


def _module_of(command: str) -> ModuleType:
    return import_module(f"ci_gate.cli.{command.replace('-', '_')}")
