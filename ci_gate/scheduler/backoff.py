"""How long to wait before the next try, when the other side does not answer or is not there."""

from __future__ import annotations

MOST_DOUBLINGS = 30  # tries may go on for weeks: the power must not outgrow a float


def backoff(first_s: float, longest_s: float, failures: int) -> float:
    """Seconds after the ``failures``-th failure (from 1): ``first_s``, twice that, …, ``longest_s`` at most."""
    return min(first_s * 2.0 ** min(failures - 1, MOST_DOUBLINGS), longest_s)
