"""The ``.gitattributes`` that govern a few paths, put where git looks for them.

They can decide how a file merges (``merge=union``, ``binary``) and how it is stored (``text``). In a bare repository
git does not see those that are part of the contents, so a merge of lines gets a scratch work tree with nothing else in
it. Most merges have none to look at.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ci_gate.merger.git import Git
from ci_gate.merger.lines import MergedFile
from ci_gate.merger.objects import Objects
from ci_gate.merger.trees import REGULAR, Entry

ATTRIBUTES = b".gitattributes"


@dataclass(frozen=True, slots=True)
class File:
    """A path with what a tree says of it. The path is raw bytes, with slashes."""

    path: bytes
    entry: Entry


Node = Mapping[bytes, Any]
"""A folder: names to entries, or to folders that are not stored yet."""


def governing(objects: Objects, root: Node, paths: Iterable[bytes]) -> list[File]:
    """The files that may apply to some paths, as they are in a tree. git itself follows no link here."""
    folders = {folder for path in paths for folder in _folders(path)}
    found = []
    for folder in sorted(folders):
        node: Node | None = root
        for name in folder.split(b"/") if folder else ():
            node = _below(objects, node, name)
        entry = node.get(ATTRIBUTES) if node is not None else None
        if isinstance(entry, Entry) and entry.mode in REGULAR:
            found.append(File(folder + b"/" + ATTRIBUTES if folder else ATTRIBUTES, entry))
    return found


def _folders(path: bytes) -> Iterator[bytes]:
    """``a/b/c`` is in ``a/b``, in ``a`` and at the top."""
    while path:
        path = path.rpartition(b"/")[0]
        yield path


def _below(objects: Objects, node: Node | None, name: bytes) -> Node | None:
    entry = node.get(name) if node is not None else None
    if isinstance(entry, Entry):
        return objects.tree(entry.oid) if entry.is_folder else None
    return entry


def check_out(objects: Objects, files: Iterable[File], work_tree: Path) -> None:
    """Write files as they are stored, without any conversion."""
    for file in files:
        place(objects.blob(file.entry.oid), work_tree, file.path)


def place(content: bytes, work_tree: Path, path: bytes) -> None:
    """A tree that was read has no name that leads out of the work tree."""
    target = work_tree / os.fsdecode(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)


def convert_as_added(git: Git, objects: Objects, root: Node, merged: Sequence[MergedFile]) -> list[MergedFile]:
    """Merged files as ``git add`` stores them, where attributes may change that; ``root`` is the merged tree."""
    attributes = governing(objects, root, [file.path for file in merged])
    if not attributes:
        return []
    with TemporaryDirectory(prefix="ci-gate-merge-") as folder:
        work_tree = Path(folder, "tree")
        work_tree.mkdir()
        check_out(objects, attributes, work_tree)
        for file in merged:
            place(file.content, work_tree, file.path)
        index = git.having(GIT_INDEX_FILE=str(Path(folder, "index")), GIT_WORK_TREE=str(work_tree)).within(work_tree)
        # Unmerged, with our side's content: what line ends that has, decides on the line ends to be stored.
        lines = [b"%s %s 2\t%s\0" % (file.ours.mode, file.ours.oid.encode(), file.path) for file in merged]
        index.call("update-index", "-z", "--index-info", stdin=b"".join(lines))
        index.call("update-index", "--add", "-z", "--stdin", stdin=b"".join(file.path + b"\0" for file in merged))
        return list(_stored(index.call("ls-files", "--stage", "-z").stdout, merged))


def _stored(listing: bytes, merged: Sequence[MergedFile]) -> Iterator[MergedFile]:
    by_path = {file.path: file for file in merged}
    for line in listing.split(b"\0")[:-1]:
        facts, _, path = line.partition(b"\t")
        _, oid, _ = facts.decode().split(" ")
        file = by_path[path]
        yield MergedFile(path, file.ours, file.content, oid)
