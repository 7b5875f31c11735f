"""``ci-gate replay``: what was decided, from the record; and what another layout would have decided."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ci_gate.cli.problems import print_problems
from ci_gate.cli.recorded import DONE, REFUSED, UnreadableError, reading, settings_of
from ci_gate.cli.times import add_span_arguments
from ci_gate.config.problems import Level, RefusedError
from ci_gate.config.settings import Settings

if TYPE_CHECKING:
    from ci_gate.replay.running import Decided, OtherMemory

USAGE = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", "-c", metavar="FILE", help="the configuration file, which names the journal")
    add_span_arguments(parser, since="only what was decided from then on", until="only what was decided until then")
    parser.add_argument("--change", metavar="NUMBER[,PATCHSET]", help="only what was decided about this change")
    parser.add_argument("--layout", "-l", metavar="FILE", help="tell what this layout would have decided otherwise")
    parser.add_argument("--bundle", metavar="FILE", help="replay this bundle, not the journal")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how to print (default: text)")


def run(arguments: argparse.Namespace) -> int:
    """Exit status 1 if this version decides otherwise than what was recorded, or if the record cannot be read."""
    if arguments.bundle is not None and arguments.layout is not None:
        print("ci-gate replay: a bundle lacks the names that a layout decides by; leave out --layout", file=sys.stderr)
        return USAGE
    from ci_gate.daemon.logs import set_up_logging  # noqa: PLC0415  # half a second that usage errors need not cost

    set_up_logging(None, level=logging.WARNING)
    if arguments.bundle is not None:
        return _replay_bundle(arguments)
    settings = settings_of(arguments, layout=arguments.layout)
    if settings is None:
        return REFUSED
    from ci_gate.daemon.beginning import address_of  # noqa: PLC0415  # as above

    address = address_of(settings)
    try:
        with reading(address):
            if arguments.layout is not None:
                return _compare(arguments, settings, address)
            return _replay(arguments, address)
    except UnreadableError as problem:
        print(f"ci-gate replay: {problem}", file=sys.stderr)
        return REFUSED


def _replay(arguments: argparse.Namespace, address: str) -> int:
    from ci_gate.replay.running import Span  # noqa: PLC0415  # as above
    from ci_gate.replay.running import run as steps  # noqa: PLC0415  # as above
    from ci_gate.store.reading import JournalReader  # noqa: PLC0415  # as above

    source = JournalReader(address)
    try:
        return _print(arguments, steps(source, Span(arguments.since, arguments.until)))
    finally:
        source.close()


def _replay_bundle(arguments: argparse.Namespace) -> int:
    from ci_gate.replay.bundle import BadBundleError, read_bundle  # noqa: PLC0415  # as above
    from ci_gate.replay.running import Span  # noqa: PLC0415  # as above
    from ci_gate.replay.running import run as steps  # noqa: PLC0415  # as above

    try:
        with reading(""):
            bundle = read_bundle(Path(arguments.bundle))
            status = _print(arguments, steps(bundle, Span(arguments.since, arguments.until), bundle.read_layout))
    except (UnreadableError, BadBundleError, OSError) as problem:
        print(f"ci-gate replay: {problem}", file=sys.stderr)
        return REFUSED
    deviating = bundle.facts.get("deviating_count")
    if deviating:
        print(f"{deviating} steps were decided otherwise with the names that the bundle lacks", file=sys.stderr)
    return status


def _print(arguments: argparse.Namespace, happened: Iterable[Decided | OtherMemory]) -> int:
    from ci_gate.replay.telling import Teller  # noqa: PLC0415  # as above

    teller = Teller(arguments.format == "json", arguments.change)
    for line in teller.lines(happened):
        print(line)
    sys.stdout.flush()
    print(teller.summary(), file=sys.stderr)
    return REFUSED if teller.differences else DONE


def _compare(arguments: argparse.Namespace, settings: Settings, address: str) -> int:
    from ci_gate.config.layout import load_layout  # noqa: PLC0415  # as above
    from ci_gate.daemon.functions import FunctionOracle  # noqa: PLC0415  # as above
    from ci_gate.replay.differing import difference_lines, summary  # noqa: PLC0415  # as above
    from ci_gate.replay.running import Span  # noqa: PLC0415  # as above
    from ci_gate.replay.what_if import what_if  # noqa: PLC0415  # as above
    from ci_gate.store.reading import JournalReader  # noqa: PLC0415  # as above

    joins = settings.scheduler.noop_joins_queues
    try:
        loaded = load_layout(Path(arguments.layout), connections=settings.drivers, noop_joins_queues=joins)
    except RefusedError as refused:
        print_problems([each for each in refused.problems if each.level is Level.ERROR], sys.stderr)
        return REFUSED
    source = JournalReader(address)
    try:
        span = Span(arguments.since, arguments.until)
        found = what_if(source, span, loaded.layout, FunctionOracle(loaded.functions))
    finally:
        source.close()
    for line in difference_lines(found, as_json=arguments.format == "json", subject=arguments.change):
        print(line)
    sys.stdout.flush()
    print(summary(found), file=sys.stderr)
    return DONE
