"""``ci-gate dequeue``: take a change, or the updates of a ref, out of a pipeline; nothing is reported."""

from __future__ import annotations

import argparse

from ci_gate.cli.asking import add_config_argument, ask_and_tell


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_argument(parser)
    parser.add_argument("--pipeline", required=True, metavar="NAME", help="the pipeline")
    parser.add_argument("--project", required=True, metavar="NAME", help="the project")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--change", metavar="NUMBER,PATCHSET", help="the change")
    what.add_argument("--ref", metavar="REF", help="all updates of this ref")


def run(arguments: argparse.Namespace) -> int:
    what = {"change": arguments.change} if arguments.change else {"ref": arguments.ref}
    return ask_and_tell(arguments, "dequeue", pipeline=arguments.pipeline, project=arguments.project, **what)
