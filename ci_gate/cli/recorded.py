"""What commands about the record have in common: where it is, and what is said when it cannot be read."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ci_gate.cli.problems import print_problems
from ci_gate.config.problems import Level, RefusedError
from ci_gate.config.read_settings import find_settings_file, read_settings, read_state_settings
from ci_gate.config.settings import Settings

DONE, REFUSED = 0, 1


class UnreadableError(Exception):
    """The record cannot be read. The text is for the operator."""


def settings_of(arguments: argparse.Namespace, *, layout: str | None = None) -> Settings | None:
    """Where the record is; with a layout, which stands for ``[zuul] layout_config``, every setting.

    None if the configuration is refused; its errors are then on standard error.
    """
    try:
        path = find_settings_file(arguments.config)
        return read_settings(path, layout=layout)[0] if layout else read_state_settings(path)
    except RefusedError as refused:
        print_problems([each for each in refused.problems if each.level is Level.ERROR], sys.stderr)
        return None


@contextmanager
def reading(address: str) -> Iterator[None]:
    """Whatever a database or a damaged record brings becomes UnreadableError; passwords of the address stay away."""
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415  # a quarter of a second that usage errors need not cost

    from ci_gate.daemon.recovery import JournalDamagedError  # noqa: PLC0415  # as above
    from ci_gate.replay.running import NothingRecordedError  # noqa: PLC0415  # as above
    from ci_gate.sql.address import without_secrets  # noqa: PLC0415  # as above
    from ci_gate.store.migrate import SchemaError  # noqa: PLC0415  # as above
    from ci_gate.store.reading import NoJournalError  # noqa: PLC0415  # as above

    try:
        yield
    except (NoJournalError, SchemaError, NothingRecordedError, JournalDamagedError) as problem:
        raise UnreadableError(str(problem)) from problem
    except (SQLAlchemyError, ImportError) as problem:
        first = str(problem).splitlines()[0]
        reason = without_secrets(first, address) if address else first
        raise UnreadableError(f"the journal cannot be read: {reason}") from problem
