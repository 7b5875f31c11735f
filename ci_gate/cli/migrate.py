"""``ci-gate migrate``: a site of Zuul's, or of the Gerrit Trigger plugin's (``triggers.py``), taken over."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ci_gate.cli import triggers
from ci_gate.cli.validate import check
from ci_gate.config.migration import Migration, MigrationError, check_same, migrated
from ci_gate.config.problems import Level, RefusedError
from ci_gate.config.read_settings import find_settings_file

DONE, REFUSED = 0, 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    subparsers = parser.add_subparsers(dest="source", metavar="FROM", required=True)
    zuul = subparsers.add_parser("zuul", help="from Zuul 2.0 to 2.6", description="Write ci.conf from zuul.conf.")
    zuul.add_argument("--config", "-c", metavar="FILE", help="the site's zuul.conf")
    zuul.add_argument("--output", "-o", metavar="FILE", default="ci.conf", help="what to write; - only shows it")
    zuul.add_argument("--force", action="store_true", help="write over a file that is there")
    triggers.add_arguments(
        subparsers.add_parser(
            "gerrit-trigger",
            help="from Jenkins' Gerrit Trigger plugin",
            description="Write the layout that starts the same builds.",
        )
    )


def run(arguments: argparse.Namespace) -> int:
    """Exit status 0 if the site can be taken over as it is, 1 if something has to be mended first."""
    if arguments.source == "gerrit-trigger":
        return triggers.run(arguments)
    try:
        path = find_settings_file(arguments.config)
        migration = migrated(path)
        found = check(None, str(path))
    except RefusedError as refused:
        for each in refused.problems:
            print(each, file=sys.stderr)
        return REFUSED
    errors = [each for each in found.problems if each.level is Level.ERROR]
    for each in errors:
        print(each, file=sys.stderr)
    _tell("The same as before:", migration.same)
    if found.loaded is not None:
        print(f"  {found.layout}: every job, pipeline and project of the layout\n")
    _tell("Left out:", migration.ignored)
    warnings = [str(each) for each in found.problems if each.level is Level.WARNING]
    _tell("To do:", [*migration.to_do, *warnings])
    if errors:
        print("ci-gate: nothing was written: mend the errors first", file=sys.stderr)
        return REFUSED
    return _write(migration, arguments)


def _tell(heading: str, lines: Sequence[str]) -> None:
    print(heading)
    for line in lines or ["nothing"]:
        print(f"  {line}")
    print()


def _write(migration: Migration, arguments: argparse.Namespace) -> int:
    if arguments.output == "-":
        print(migration.text, end="")
        return DONE
    output = Path(arguments.output)
    if output.exists() and not arguments.force:
        print(f"ci-gate: {output} is there already; --force writes over it", file=sys.stderr)
        return REFUSED
    new = output.with_name(f"{output.name}.new")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)  # it may hold passwords
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(migration.text)
        check_same(migration, new)
        new.replace(output)
    except (OSError, RefusedError, MigrationError) as problem:
        new.unlink(missing_ok=True)
        print(f"ci-gate: {output} was not written: {problem}", file=sys.stderr)
        return REFUSED
    print(f"Written: {output} (only its owner can read it)")
    return DONE
