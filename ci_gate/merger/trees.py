"""Tree objects as git stores them: names and what they stand for. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from ci_gate.merger.conflict import ConflictError

FOLDER, FILE, PROGRAM, LINK, SUBMODULE = b"40000", b"100644", b"100755", b"120000", b"160000"
REGULAR = (FILE, PROGRAM)
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"

_ENTRY = re.compile(rb"([0-7]+) ([^\0]+)\0(.{20})", re.DOTALL)
_USUAL_MODES = {each: each for each in (FOLDER, FILE, PROGRAM, LINK, SUBMODULE)}
_NOT_A_NAME = re.compile(rb"\.{1,2}|\.git|.*/.*", re.DOTALL | re.IGNORECASE)


class Entry(NamedTuple):
    """What a name stands for in a tree. ``oid`` is the object's id in hex."""

    mode: bytes
    oid: str

    @property
    def is_folder(self) -> bool:
        return self.mode == FOLDER


Tree = Mapping[bytes, Entry]


class BadTreeError(ConflictError):
    """A tree has what git never puts into one, and would not check out."""


def parse_tree(raw: bytes) -> Tree:
    """Raises BadTreeError for names that lead elsewhere, ValueError for what is no tree."""
    found = _ENTRY.findall(raw)
    if sum(len(mode) + len(name) + 22 for mode, name, _ in found) != len(raw):
        raise ValueError("not a tree")
    bad = [name for _, name, _ in found if _NOT_A_NAME.fullmatch(name)]
    if bad:
        raise BadTreeError("a folder has names that git refuses to check out", bad)
    return {name: Entry(_USUAL_MODES.get(mode, mode), oid.hex()) for mode, name, oid in found}


def format_tree(tree: Tree) -> bytes:
    """In git's order, in which a folder's name counts as ending in a slash."""
    ordered = sorted(tree.items(), key=lambda item: item[0] + b"/" if item[1].mode == FOLDER else item[0])
    return b"".join(b"%s %s\0%s" % (entry.mode, name, bytes.fromhex(entry.oid)) for name, entry in ordered)
