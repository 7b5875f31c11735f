"""``ci-gate rescue``: what can be read of a damaged journal takes its place, while the service does not run."""

from __future__ import annotations

import argparse
import sys

from sqlalchemy.exc import SQLAlchemyError

from ci_gate.config.problems import RefusedError
from ci_gate.config.read_settings import find_settings_file, read_state_settings
from ci_gate.daemon.beginning import address_of
from ci_gate.daemon.lock import LockedError, lock
from ci_gate.daemon.rescue import NothingToRescueError, rescue
from ci_gate.store.journal import file_of

DONE, REFUSED = 0, 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", "-c", metavar="FILE", help="the configuration file")


def run(arguments: argparse.Namespace) -> int:
    """Exit status 0: a start can go on from what was kept; 1: nothing was changed."""
    try:
        settings = read_state_settings(find_settings_file(arguments.config))
        file = file_of(address_of(settings))
        if file is None:
            return _refuse("[database] dburi is no SQLite file; a database server has means of its own")
        with lock(settings.state_dir):
            found = rescue(file)
    except RefusedError as refused:
        for each in refused.problems:
            print(each, file=sys.stderr)
        return REFUSED
    except (LockedError, NothingToRescueError, OSError) as problem:
        return _refuse(str(problem))
    except SQLAlchemyError as problem:
        return _refuse(str(problem).splitlines()[0])
    lost = f"steps {found.step + 1} to {found.known} are lost" if found.known > found.step else "no step is lost"
    print(f"all steps up to {found.step} are kept; {lost}. The damaged journal is now {found.damaged}")
    return DONE


def _refuse(reason: str) -> int:
    print(f"ci-gate: nothing was rescued: {reason}", file=sys.stderr)
    return REFUSED
