"""``ci-gate explain 12345[,3]``: what was decided about a change, in order, and why."""

from __future__ import annotations

import argparse
import json
import sys
import time

from ci_gate.cli.asking import DONE, REFUSED, add_config_argument, answer_to


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_argument(parser)
    parser.add_argument("subject", metavar="NUMBER[,PATCHSET]", help="the change; without a patch set, all of them")
    parser.add_argument("--pipeline", metavar="NAME", help="only what was decided for this pipeline")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how to print (default: text)")


def run(arguments: argparse.Namespace) -> int:
    answer = answer_to(arguments, "explain", subject=arguments.subject)
    if answer is None:
        return REFUSED
    if not answer.done:
        for line in answer.lines:
            print(line, file=sys.stderr)
        return REFUSED
    decisions = [each for each in answer.data if arguments.pipeline in (None, each["pipeline"])]
    if arguments.format == "json":
        print(json.dumps(decisions, indent=2))
        return DONE
    width = max((len(each["pipeline"] or "-") for each in decisions), default=0)
    for each in decisions:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(each["at"]))
        print(f"{when}  {each['subject']}  {(each['pipeline'] or '-').ljust(width)}  {each['text']}")
    return DONE
