"""The one way in which a change's contents can be at fault."""

from __future__ import annotations

from collections.abc import Iterable


class ConflictError(Exception):
    """The change does not merge. ``paths`` are the files at odds, none when that is not a matter of files."""

    def __init__(self, detail: str, paths: Iterable[bytes] = ()) -> None:
        self.paths = tuple(sorted(each.decode(errors="backslashreplace") for each in set(paths)))
        super().__init__(detail)
