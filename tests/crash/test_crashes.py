"""A service that is killed again and again, at any instant, loses nothing and says nothing twice (``make crash``)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from crash_run import FAILPOINTS, run

pytestmark = pytest.mark.e2e

SOURCES = Path(__file__).parent.parent.parent / "ci_gate"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(5))
async def test_nothing_comes_of_five_ends_at_any_instant(tmp_path, seed):
    print(f"once more: make crash RUNS=1 SEED={seed}")
    await run(seed, tmp_path)


def test_every_place_where_the_service_may_be_ended_is_known():
    text = "\n".join(path.read_text() for path in SOURCES.rglob("*.py"))
    places = set(re.findall(r'failpoint\("([\w.-]+)"', text))
    assert places == {name if name in places else name.rpartition(".")[0] for name in FAILPOINTS}
