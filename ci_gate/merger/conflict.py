"""The one way in which a change's contents can be at fault."""

from __future__ import annotations

from collections.abc import Iterable


class ConflictError(Exception):
    """The change does not merge. ``paths`` are the files at odds, none when that is not a matter of files.

    A path may have any bytes in it; what is not readable text on one line becomes an escape.
    """

    def __init__(self, detail: str, paths: Iterable[bytes] = ()) -> None:
        self.paths = tuple(_readable(each) for each in sorted(set(paths)))
        super().__init__(detail)


def _readable(path: bytes) -> str:
    text = path.decode(errors="backslashreplace")
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
