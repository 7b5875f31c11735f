"""``ci-gate journal export FILE``: part of the record in one file, in other words, for a bug report."""

from __future__ import annotations

import argparse
import logging
import secrets
import sys
from pathlib import Path

from ci_gate.cli.recorded import DONE, REFUSED, UnreadableError, reading, settings_of
from ci_gate.cli.times import add_span_arguments

SALT_BYTES = 32


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    export = actions.add_parser("export", help="write a bundle without names, which replays the same decisions")
    export.add_argument("file", metavar="FILE", help="where to; compressed if its name ends in .gz")
    export.add_argument("--config", "-c", metavar="FILE", help="the configuration file, which names the journal")
    add_span_arguments(export, since="only what was decided from then on", until="only what was decided until then")
    export.add_argument(
        "--change", metavar="NUMBER[,PATCHSET]", help="only from the first to the last decision about this change"
    )


def run(arguments: argparse.Namespace) -> int:
    settings = settings_of(arguments)
    if settings is None:
        return REFUSED
    from ci_gate.daemon.beginning import address_of  # noqa: PLC0415  # half a second that usage errors need not cost
    from ci_gate.daemon.logs import set_up_logging  # noqa: PLC0415  # as above
    from ci_gate.replay.exporting import NothingToExportError  # noqa: PLC0415  # as above

    set_up_logging(None, level=logging.ERROR)
    address = address_of(settings)
    try:
        with reading(address):
            _export(arguments, address)
    except (UnreadableError, NothingToExportError) as problem:
        print(f"ci-gate journal export: {problem}", file=sys.stderr)
        return REFUSED
    except OSError as problem:
        print(f"ci-gate journal export: cannot write {arguments.file}: {problem.strerror}", file=sys.stderr)
        return REFUSED
    return DONE


def _export(arguments: argparse.Namespace, address: str) -> None:
    from ci_gate.replay.bundle import write_bundle  # noqa: PLC0415  # as above
    from ci_gate.replay.exporting import export  # noqa: PLC0415  # as above
    from ci_gate.replay.running import Span  # noqa: PLC0415  # as above
    from ci_gate.store.reading import JournalReader  # noqa: PLC0415  # as above

    source = JournalReader(address)
    span = Span(arguments.since, arguments.until)
    try:
        exported = export(source, span, secrets.token_bytes(SALT_BYTES), arguments.change)
    finally:
        source.close()
    write_bundle(exported.bundle, Path(arguments.file))
    said = f"{exported.steps} steps"
    if exported.deviating:
        said += f"; {len(exported.deviating)} of them are decided otherwise without the names"
    print(f"{arguments.file}: {said}")
