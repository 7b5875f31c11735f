"""``ci-gate enqueue``: put a change into a pipeline, whatever its filters and requirements say."""

from __future__ import annotations

import argparse

from ci_gate.cli.asking import add_config_argument, add_verbose_argument, ask_and_tell


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_argument(parser)
    add_verbose_argument(parser)
    parser.add_argument("--trigger", required=True, metavar="NAME", help="a connection or trigger of the layout")
    parser.add_argument("--pipeline", required=True, metavar="NAME", help="the pipeline")
    parser.add_argument("--project", required=True, metavar="NAME", help="the project of the change")
    parser.add_argument("--change", required=True, metavar="NUMBER,PATCHSET", help="the change")


def run(arguments: argparse.Namespace) -> int:
    return ask_and_tell(
        arguments,
        "enqueue",
        trigger=arguments.trigger,
        pipeline=arguments.pipeline,
        project=arguments.project,
        change=arguments.change,
    )
