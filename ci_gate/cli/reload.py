"""``ci-gate reload``: the running service reads its files again, or goes back to the layout before."""

from __future__ import annotations

import argparse

from ci_gate.cli.asking import add_config_argument, ask_and_tell


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_argument(parser)
    parser.add_argument(
        "--previous", action="store_true", help="go back to the layout that was in force before the present one"
    )


def run(arguments: argparse.Namespace) -> int:
    return ask_and_tell(arguments, "reload", previous=arguments.previous)
