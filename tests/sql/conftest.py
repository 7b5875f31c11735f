"""One new database for each test."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def dburi(request, tmp_path):
    """The address of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'results.db'}"
    return request.getfixturevalue(request.param).new_database()
