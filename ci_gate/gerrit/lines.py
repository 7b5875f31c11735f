"""Bytes of a stream to lines of text: cut anywhere, also inside a character (gerrit-wire.md 3.1)."""

from __future__ import annotations

LONGEST_LINE = 8 * 1024 * 1024


class LineReader:
    """Feed it what arrives; it gives the lines that are complete. Blank lines are left out.

    A line longer than ``LONGEST_LINE`` bytes is dropped and counted in ``too_long``.
    """

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._dropping = False
        self.too_long = 0

    def feed(self, data: bytes) -> list[str]:
        *ended, rest = data.split(b"\n")
        lines = []
        for piece in ended:
            self._add(piece)
            line = b"".join(self._parts).decode("utf-8", errors="replace").strip()
            if line and not self._dropping:
                lines.append(line)
            self._parts, self._size, self._dropping = [], 0, False
        self._add(rest)
        return lines

    def _add(self, piece: bytes) -> None:
        if self._dropping or not piece:
            return
        self._size += len(piece)
        self._parts.append(piece)
        if self._size > LONGEST_LINE:
            self._parts, self._dropping = [], True
            self.too_long += 1
