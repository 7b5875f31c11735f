"""Fixtures of the configuration's tests."""

import pytest
from layout_parts import Layouts


@pytest.fixture
def layouts(tmp_path):
    return Layouts(tmp_path)
