"""Identifiers that a replay makes again: BLAKE2 of a random seed and a counter (ARCHITECTURE: the contract)."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

SEED_BYTES = 16


@dataclass(slots=True)
class Identifiers:
    """``seed`` is 16 random bytes, chosen once for each state directory; ``issued`` counts."""

    seed: bytes
    issued: int = 0

    def take(self) -> str:
        """32 lower-case hex digits, never the same twice for one seed."""
        self.issued += 1
        return blake2b(self.issued.to_bytes(8, "big"), key=self.seed, digest_size=16).hexdigest()

    def of_item(self, number: int) -> str:
        """That of the item with this number: 32 hex digits, apart from those that are taken."""
        return blake2b(number.to_bytes(8, "big"), key=self.seed, digest_size=16, person=b"item").hexdigest()
