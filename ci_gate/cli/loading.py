"""What commands about layouts have in common: which files they read, and how they say what is wrong with them."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from ci_gate.cli.problems import print_problems
from ci_gate.config.layout import LoadedLayout, load_layout
from ci_gate.config.problems import Level, RefusedError
from ci_gate.config.read_settings import find_settings_file, read_settings
from ci_gate.config.settings import GerritSettings
from ci_gate.model.options import SchedulerSettings


@dataclass(frozen=True, slots=True)
class Site:
    """A layout and what the configuration says of it; without one, a single Gerrit named ``gerrit``."""

    loaded: LoadedLayout
    options: SchedulerSettings
    gerrits: tuple[GerritSettings, ...]


def add_file_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", "-c", metavar="FILE", help="the configuration file that names the connections")
    parser.add_argument("--layout", "-l", metavar="FILE", help="the layout; else the one of the configuration")


def load_site(arguments: argparse.Namespace) -> Site | None:
    """None if a file is refused; its errors are then on standard error."""
    try:
        if arguments.config is None and arguments.layout is not None:
            loaded = load_layout(Path(arguments.layout))
            gerrit = GerritSettings("gerrit", "localhost", "ci-gate", baseurl="http://localhost")
            return Site(loaded, SchedulerSettings(), (gerrit,))
        settings, _ = read_settings(find_settings_file(arguments.config), layout=arguments.layout)
        loaded = load_layout(
            settings.layout_config,
            connections=settings.drivers,
            noop_joins_queues=settings.scheduler.noop_joins_queues,
        )
    except RefusedError as refused:
        print_problems([each for each in refused.problems if each.level is Level.ERROR], sys.stderr)
        return None
    return Site(loaded, settings.scheduler, settings.gerrits)
