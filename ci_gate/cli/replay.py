"""``ci-gate replay``: what was decided, from the record; and what another layout would have decided."""

from __future__ import annotations

import argparse
import logging
import sys

from ci_gate.cli.recorded import DONE, REFUSED, UnreadableError, reading, settings_of
from ci_gate.cli.times import add_span_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", "-c", metavar="FILE", help="the configuration file, which names the journal")
    add_span_arguments(parser, since="only what was decided from then on", until="only what was decided until then")
    parser.add_argument("--change", metavar="NUMBER[,PATCHSET]", help="only what was decided about this change")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how to print (default: text)")


def run(arguments: argparse.Namespace) -> int:
    """Exit status 1 if this version decides otherwise than what was recorded, or if the record cannot be read."""
    settings = settings_of(arguments)
    if settings is None:
        return REFUSED
    from ci_gate.daemon.beginning import address_of  # noqa: PLC0415  # half a second that usage errors need not cost
    from ci_gate.daemon.logs import set_up_logging  # noqa: PLC0415  # as above

    set_up_logging(None, level=logging.WARNING)
    address = address_of(settings)
    try:
        with reading(address):
            return _replay(arguments, address)
    except UnreadableError as problem:
        print(f"ci-gate replay: {problem}", file=sys.stderr)
        return REFUSED


def _replay(arguments: argparse.Namespace, address: str) -> int:
    from ci_gate.replay.running import Span  # noqa: PLC0415  # as above
    from ci_gate.replay.running import run as steps  # noqa: PLC0415  # as above
    from ci_gate.replay.telling import Teller  # noqa: PLC0415  # as above
    from ci_gate.store.reading import JournalReader  # noqa: PLC0415  # as above

    source = JournalReader(address)
    teller = Teller(arguments.format == "json", arguments.change)
    try:
        for line in teller.lines(steps(source, Span(arguments.since, arguments.until))):
            print(line)
    finally:
        source.close()
    sys.stdout.flush()
    print(teller.summary(), file=sys.stderr)
    return REFUSED if teller.differences else DONE
