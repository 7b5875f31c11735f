"""``ci-gate promote``: bring changes to the front of their queue."""

from __future__ import annotations

import argparse

from ci_gate.cli.asking import add_config_argument, add_verbose_argument, ask_and_tell


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_argument(parser)
    add_verbose_argument(parser)
    parser.add_argument("--pipeline", required=True, metavar="NAME", help="the pipeline")
    parser.add_argument(
        "--changes", required=True, nargs="+", metavar="NUMBER,PATCHSET", help="the changes, the foremost first"
    )


def run(arguments: argparse.Namespace) -> int:
    return ask_and_tell(arguments, "promote", pipeline=arguments.pipeline, change_ids=arguments.changes)
