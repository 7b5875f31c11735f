"""``ci-gate validate [LAYOUT]``: everything that is wrong with a layout, with line, column and what would be right."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ci_gate.cli.problems import print_problems
from ci_gate.config.layout import JobList, LoadedLayout, load_layout
from ci_gate.config.problems import Level, Problem, RefusedError

if TYPE_CHECKING:
    from ci_gate.cli.edits import Edit

DONE, PROBLEMS, USAGE = 0, 1, 2
FOR_MACHINES = ("json", "sarif", "github")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("layout", nargs="?", metavar="LAYOUT", help="the layout; else the one of the configuration")
    parser.add_argument("--config", "-c", metavar="FILE", help="the configuration file that names the connections")
    parser.add_argument("--layout", "-l", metavar="FILE", dest="named_layout", help="the same as LAYOUT")
    parser.add_argument(
        "-d", action="store_true", help="accepted and ignored: there is nothing to run in the background"
    )
    parser.add_argument("--jobs", metavar="FILE", help="the jobs that there are, one name a line")
    parser.add_argument(
        "--gearman",
        nargs="?",
        const="",
        metavar="HOST:PORT",
        help="check that workers of this Gearman server offer every job (default: the configuration's, else 127.0.0.1)",
    )
    parser.add_argument("--base", metavar="FILE", help="the layout before the edit: show what the edit changes")
    parser.add_argument("--strict", action="store_true", help="warnings count as errors")
    parser.add_argument("--notes", action="store_true", help="show notes too")
    formats = ("text", *FOR_MACHINES)
    parser.add_argument("--format", choices=formats, default="text", help="how to print (default: text)")


def run(arguments: argparse.Namespace) -> int:
    arguments.layout = arguments.layout or arguments.named_layout
    gc.disable()  # a large layout is hundreds of thousands of objects, none of them garbage before the process ends
    try:
        found = check(arguments.layout, arguments.config, list(_job_lists(arguments)))
        edit = _edit(arguments, found)
    except UsageError as problem:
        print(f"ci-gate validate: {problem}", file=sys.stderr)
        return USAGE
    except RefusedError as missing:
        print(missing, file=sys.stderr)
        return PROBLEMS
    shown = [each for each in found.problems if arguments.notes or each.level is not Level.NOTE]
    refused = found.loaded is None or (arguments.strict and any(each.level is Level.WARNING for each in shown))
    if arguments.format in FOR_MACHINES:
        from ci_gate.cli.formats import FORMATS  # noqa: PLC0415  # takes json, which people do not need

        facts = _facts(found, accepted=not refused) | ({"edit": edit.facts()} if edit else {})
        print(FORMATS[arguments.format](shown, facts))
    else:
        print_problems(shown)
        print(_conclusion(found, shown, refused=refused))
        for line in edit.lines() if edit else ():
            print(line)
    return PROBLEMS if refused else DONE


def _reads_settings(arguments: argparse.Namespace) -> bool:
    return arguments.config is not None or arguments.layout is None


class UsageError(Exception):
    """The command was called in a way that cannot work; the text says how it can."""


@dataclass(slots=True)
class Found:
    """``loaded`` is None if there are errors."""

    layout: str
    loaded: LoadedLayout | None = None
    problems: list[Problem] = field(default_factory=list)


def check(layout: str | None, config: str | None, available: Collection[JobList] = ()) -> Found:
    """Read the configuration, if there is one to read, and the layout against it.

    Raises RefusedError if there is no such configuration; what is wrong with one is found.
    """
    found = Found(layout or "")
    connections, noop_joins = None, False
    if config is not None or layout is None:
        # Reading settings takes a third of the time of a check, and a lone layout does not need them.
        from ci_gate.config.read_settings import find_settings_file, read_settings  # noqa: PLC0415  # as just said

        path = find_settings_file(config)
        try:
            settings, problems = read_settings(path, layout=layout)
        except RefusedError as refused:
            found.problems += refused.problems
            return found
        found.problems += problems
        found.layout = layout or str(settings.layout_config)
        connections, noop_joins = settings.drivers, settings.scheduler.noop_joins_queues
    try:
        found.loaded = load_layout(
            Path(found.layout), connections=connections, noop_joins_queues=noop_joins, available_jobs=available
        )
        found.problems += found.loaded.problems
    except RefusedError as refused:
        found.problems += refused.problems
    return found


def _edit(arguments: argparse.Namespace, found: Found) -> Edit | None:
    """What changes from ``--base`` to the layout that was checked. Raises UsageError if the base does not load."""
    if arguments.base is None or found.loaded is None:
        return None
    base = check(arguments.base, arguments.config)
    if base.loaded is None:
        raise UsageError(f"{arguments.base} has errors of its own: {base.problems[0]}")
    # What an edit takes is the most of the service: a plain check need not wait for it.
    from ci_gate.cli.edits import Edit  # noqa: PLC0415  # as just said

    return Edit(base.loaded.layout, found.loaded.layout)


def _job_lists(arguments: argparse.Namespace) -> Iterator[JobList]:
    """Raises UsageError."""
    if arguments.jobs is not None:
        try:
            text = Path(arguments.jobs).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as problem:
            raise UsageError(f"cannot read the list of jobs: {problem}") from problem
        yield JobList(frozenset(line.strip() for line in text.splitlines() if line.strip()))
    if arguments.gearman is not None:
        from ci_gate.cli.offered import OfferedError, offered_jobs  # noqa: PLC0415  # takes gear, which few checks need

        try:
            yield offered_jobs(arguments.gearman, arguments.config, configured=_reads_settings(arguments))
        except OfferedError as problem:
            raise UsageError(str(problem)) from problem


def _conclusion(found: Found, shown: Iterable[Problem], *, refused: bool) -> str:
    counts = ", ".join(
        _counted(number, str(level))
        for level in (Level.ERROR, Level.WARNING)
        if (number := sum(each.level is level for each in shown))
    )
    if found.loaded is None:
        return f"{found.layout or 'the configuration'} is refused: {counts}"
    layout = found.loaded.layout
    parts = [
        _counted(len(layout.pipelines), "pipeline"),
        _counted(len(layout.jobs), "job"),
        _counted(len(layout.projects), "project"),
        _counted(sum(map(len, layout.queues.values())), "shared queue"),
    ]
    verdict = "is refused (--strict)" if refused else "is valid"
    return f"{found.layout} {verdict}: {', '.join(parts)}" + (f"; {counts}" if counts else "")


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _facts(found: Found, *, accepted: bool) -> dict[str, object]:
    """What machines are told besides the problems."""
    facts: dict[str, object] = {"layout": found.layout, "accepted": accepted}
    if found.loaded is not None:
        layout = found.loaded.layout
        facts["summary"] = {
            "pipelines": len(layout.pipelines),
            "jobs": len(layout.jobs),
            "projects": len(layout.projects),
            "shared_queues": sum(map(len, layout.queues.values())),
        }
    return facts
