"""Fixtures of the tests of a standby."""

from __future__ import annotations

import pytest
from standby_site import pair


@pytest.fixture
async def two(tmp_path, postgresql):
    """Two services; builds fetch nothing."""
    async with pair(tmp_path, postgresql.new_database()) as made:
        yield made
