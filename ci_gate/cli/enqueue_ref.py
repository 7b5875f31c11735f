"""``ci-gate enqueue-ref``: put an update of a ref into a pipeline, whatever its filters and requirements say."""

from __future__ import annotations

import argparse
import re
import sys

from ci_gate.cli.asking import add_config_argument, add_verbose_argument, ask_and_tell

NO_REVISION = "0" * 40
REVISION = re.compile(r"[0-9a-f]{40}")
USAGE = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_argument(parser)
    add_verbose_argument(parser)
    parser.add_argument("--trigger", required=True, metavar="NAME", help="a connection or trigger of the layout")
    parser.add_argument("--pipeline", required=True, metavar="NAME", help="the pipeline")
    parser.add_argument("--project", required=True, metavar="NAME", help="the project")
    parser.add_argument("--ref", required=True, metavar="REF", help="the ref, as the trigger of the pipeline has it")
    parser.add_argument("--oldrev", default=NO_REVISION, metavar="SHA", help="the former revision (default: 40 zeros)")
    parser.add_argument("--newrev", default=NO_REVISION, metavar="SHA", help="the new revision (default: 40 zeros)")


def run(arguments: argparse.Namespace) -> int:
    for name in ("oldrev", "newrev"):
        if not REVISION.fullmatch(getattr(arguments, name)):
            print(f"ci-gate enqueue-ref: --{name} must be 40 hex digits", file=sys.stderr)
            return USAGE
    if arguments.oldrev == arguments.newrev:
        print("ci-gate enqueue-ref: --oldrev and --newrev must differ: name at least one", file=sys.stderr)
        return USAGE
    return ask_and_tell(
        arguments,
        "enqueue-ref",
        trigger=arguments.trigger,
        pipeline=arguments.pipeline,
        project=arguments.project,
        ref=arguments.ref,
        oldrev=arguments.oldrev,
        newrev=arguments.newrev,
    )
