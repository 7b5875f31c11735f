"""``ci-gate cloner``: inside a job, working copies of several projects as the change under test wants them."""

from __future__ import annotations

import argparse

from ci_gate.cloner import main


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", "-c", metavar="FILE", help="accepted and not read: jobs have no configuration file")
    main.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    return main.run(arguments, name="ci-gate cloner")
