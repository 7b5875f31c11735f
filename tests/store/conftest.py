"""A PostgreSQL for all tests here, as those of the results database have one."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "sql"))

from database_servers import PostgreSQL

from ci_gate.store.journal import default_address


@pytest.fixture(scope="session")
def postgresql():
    server = PostgreSQL()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(params=["sqlite", "postgresql"])
def dburi(request, tmp_path):
    """The address of a database that is empty yet."""
    if request.param == "sqlite":
        return default_address(tmp_path)
    return request.getfixturevalue(request.param).new_database()
