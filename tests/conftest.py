"""One server of each kind for all tests that want one; and logs that end with the test that set them up."""

from __future__ import annotations

import logging

import pytest
import structlog
from database_servers import MariaDB, PostgreSQL


@pytest.fixture(autouse=True)
def _logs_as_before():
    """The streams of a test are closed when it ends, and its set-up would change what later ones see."""
    root, configured = logging.getLogger(), structlog.get_config()
    before, level = set(root.handlers), root.level
    yield
    for each in list(root.handlers):
        if each not in before and not type(each).__module__.startswith("_pytest"):
            root.removeHandler(each)
    root.setLevel(level)
    structlog.configure(**configured)


def _running(kind):
    server = kind()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def postgresql():
    yield from _running(PostgreSQL)


@pytest.fixture(scope="session")
def mariadb():
    yield from _running(MariaDB)


@pytest.fixture(params=["sqlite", "postgresql"])
def journal_address(request, tmp_path):
    """The address of an empty database for a journal."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'journal.sqlite'}"
    return request.getfixturevalue(request.param).new_database()
