"""Mergers to test, closed afterwards."""

from __future__ import annotations

import pytest
from merger_world import World


@pytest.fixture
async def world(tmp_path):
    made = World(tmp_path)
    yield made
    for merger in made.mergers:
        await merger.close()
