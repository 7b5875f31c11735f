"""``ci-gate COMMAND …``: finds the command's module and hands over. Only that one is imported, to feel instant."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

from ci_gate import __version__

COMMANDS = {
    "serve": "run the service",
    "validate": "check a layout (and a configuration file)",
    "enqueue": "put a change into a pipeline",
    "enqueue-ref": "put an update of a ref into a pipeline",
    "dequeue": "take a change or a ref out of a pipeline",
    "promote": "bring changes to the front of their queue",
    "explain": "tell what was decided about a change, and why",
    "show": "show the jobs that are running",
    "reload": "let the running service read its layout again",
    "layout": "answer what a layout decides: jobs, events, queues",
    "demo": "show the main job on a simulated Gerrit and Jenkins",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 1 refused or problems found, 2 usage."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    command = next((each for each in given if not each.startswith("-")), None)
    parser = argparse.ArgumentParser(prog="ci-gate", description="CI gating for Gerrit.")
    parser.add_argument("--version", action="version", version=f"ci-gate {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if name == command:
            _module_of(name).add_arguments(subparser)
    parsed = parser.parse_args(given)
    try:
        status: int = _module_of(parsed.command).run(parsed)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # whoever read us has gone; Python would complain about it at exit
        return 141
    return status


def _module_of(command: str) -> ModuleType:
    return import_module(f"ci_gate.cli.{command.replace('-', '_')}")
