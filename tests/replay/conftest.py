"""The worlds of the simulation and of the scheduler's own tests are at hand here."""

import sys
from pathlib import Path

TESTS = Path(__file__).parent.parent
sys.path[:0] = [str(TESTS / "simulation"), str(TESTS / "scheduler")]
