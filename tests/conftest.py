"""One server of each kind for all tests that want one."""

from __future__ import annotations

import pytest
from database_servers import MariaDB, PostgreSQL


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
