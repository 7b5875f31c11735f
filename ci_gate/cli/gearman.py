"""``ci-gate gearman``: the job server on its own, in the foreground, so that builds outlive the service."""

from __future__ import annotations

import argparse
import sys

from ci_gate.config.problems import RefusedError
from ci_gate.config.read_settings import find_settings_file, read_job_server_settings
from ci_gate.gearman.server import StartError, serve

STOPPED, REFUSED = 0, 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", "-c", metavar="FILE", help="the configuration file")
    parser.add_argument("--port", type=int, metavar="PORT", help="listen there in place of [gearman] port")


def run(arguments: argparse.Namespace) -> int:
    """Exit status 0 after SIGTERM, 1 if it could not start."""
    try:
        settings, port, _ = read_job_server_settings(find_settings_file(arguments.config))
        serve(settings, arguments.port if arguments.port is not None else port)
    except RefusedError as refused:
        for each in refused.problems:
            print(each, file=sys.stderr)
        return REFUSED
    except StartError as problem:
        print(f"ci-gate: cannot start: {problem}", file=sys.stderr)
        return REFUSED
    return STOPPED
