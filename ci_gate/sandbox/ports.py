"""Free ports of this machine, for parts that are told theirs before they listen."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator

HOST = "127.0.0.1"
FIRST, BEHIND = 15_000, 32_000
"""Below those that systems give to whoever does not ask for one: an outgoing connection never takes one of these."""


def free_port() -> int:
    """A port that nobody has, and that this process is not told again soon.

    Processes begin at places of their own, so that two of them are not told the same one before either listens.
    """
    while True:
        port = next(_round)
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:  # somebody has it
                continue
        return port


def _ports() -> Iterator[int]:
    place = random.SystemRandom().randrange(BEHIND - FIRST)  # not the tests' seeded chance, which is alike in all
    while True:
        yield FIRST + place
        place = (place + 1) % (BEHIND - FIRST)


_round = _ports()
