"""The strategy of ``git merge -s resolve``, without index and work tree: trees in, tree out.

Names are judged one by one, and only folders that both sides changed are looked into. What one side left as it was
is taken from the other; files that both changed merge line by line. Links and submodules do not merge, nor do files
that both sides added, or whose modes differ. With several common ancestors a name counts as left alone if it is as in
any of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ci_gate.merger.attributes import convert_as_added
from ci_gate.merger.conflict import ConflictError
from ci_gate.merger.git import Git
from ci_gate.merger.lines import MergedFile, merge_lines
from ci_gate.merger.objects import Objects
from ci_gate.merger.trees import EMPTY_TREE, FOLDER, REGULAR, SUBMODULE, Entry, Tree

MOST_CONFLICTS = 100
"""How many files are merged in vain before the rest is left alone."""

IN_THE_WAY = Entry(b"", "")
"""One side has a file where another has a folder: for names below, and for the folder's name, it is in the way."""

Side = Entry | None
Folder = dict[bytes, "Entry | Folder"]


def merge_resolve(git: Git, objects: Objects, bases: Sequence[str], ours: str, theirs: str) -> str:
    """The merged tree of trees. Raises ConflictError."""
    merge = _Merge(objects)
    try:
        root = merge.folder(b"", [_root(each) for each in bases], _root(ours), _root(theirs))
    except RecursionError:
        raise ConflictError("folders are nested too deeply to be merged") from None
    merged = _merge_files(git, objects, merge)
    if merge.conflicts:
        raise ConflictError("the contents conflict", merge.conflicts)
    if not isinstance(root, dict):
        return root.oid if root else objects.write_tree({})
    for file in merged:
        _put(root, file.path, file.entry)
    for file in convert_as_added(git, objects, root, merged):
        _put(root, file.path, file.entry)
    return write_folder(objects, root)


def _root(tree: str) -> Entry:
    return Entry(FOLDER, tree)


def write_folder(objects: Objects, folder: Folder) -> str:
    """Store it with all below; folders without files are left out."""
    written: dict[bytes, Entry] = {}
    for name, each in folder.items():
        entry = Entry(FOLDER, write_folder(objects, each)) if isinstance(each, dict) else each
        if entry.oid != EMPTY_TREE:
            written[name] = entry
    return objects.write_tree(written)


@dataclass(frozen=True, slots=True)
class _BothChanged:
    """A file to be merged line by line."""

    path: bytes
    base: Entry
    ours: Entry
    theirs: Entry


@dataclass(slots=True)
class _Merge:
    """One walk through the trees. ``conflicts`` are paths, ``both_changed`` what the walk leaves to be merged."""

    objects: Objects
    conflicts: list[bytes] = field(default_factory=list)
    both_changed: list[_BothChanged] = field(default_factory=list)

    def folder(self, path: bytes, bases: list[Side], ours: Side, theirs: Side) -> Entry | Folder | None:
        """What becomes of a folder. Sides are folders, nothing, or in the way."""
        if (known := _untouched(bases, ours, theirs)) is not _UNDECIDED:
            return known
        children = [self._children(each) for each in (*bases, ours, theirs)]
        merged: Folder = {}
        for name in dict.fromkeys(name for each in children for name in each.names):
            *below, our, their = (each.get(name) for each in children)
            below_path = path + b"/" + name if path else name
            kept = self._name(below_path, below, our, their)
            if kept is not None:
                merged[name] = kept
        return merged or None

    def _children(self, side: Side) -> _Children:
        if side is None or side is IN_THE_WAY:
            return _Children({}, side)
        return _Children(self.objects.tree(side.oid), None)

    def _name(self, path: bytes, bases: list[Side], ours: Side, theirs: Side) -> Entry | Folder | None:
        if (known := _untouched(bases, ours, theirs)) is not _UNDECIDED:
            return known
        sides = (*bases, ours, theirs)
        if not any(each is not None and each.is_folder for each in sides):
            return self._file(path, bases, ours, theirs)
        folder = self.folder(path, [_as_folder(each) for each in bases], _as_folder(ours), _as_folder(theirs))
        file = self._file(path, [_as_file(each) for each in bases], _as_file(ours), _as_file(theirs))
        if folder is not None and file is not None:
            self.conflicts.append(path)
        return file if folder is None else folder

    def _file(self, path: bytes, bases: list[Side], ours: Side, theirs: Side) -> Entry | None:
        """A file's three-way rules, in git's order."""
        our, their = _there(ours), _there(theirs)
        if our == their:
            return our
        ours_known, theirs_known = our in bases, their in bases
        if their and ours is not IN_THE_WAY and ours_known and not theirs_known:
            return their
        if our and theirs is not IN_THE_WAY and theirs_known and not ours_known:
            return our
        if (our is None and theirs_known) or (their is None and ours_known):
            return None
        base = None if ours_known and theirs_known else next(filter(_there, bases), None)
        if our and their:
            return self._both(path, base, our, their)
        one = our or their
        if base is None:
            return one
        self.conflicts.append(path)  # deleted here, changed there
        return one

    def _both(self, path: bytes, base: Entry | None, ours: Entry, theirs: Entry) -> Entry:
        if base and ours.mode == theirs.mode and ours.mode in REGULAR and base.mode != SUBMODULE:
            self.both_changed.append(_BothChanged(path, base, ours, theirs))
        else:
            self.conflicts.append(path)
        return ours


@dataclass(frozen=True, slots=True)
class _Children:
    """The names in a folder, and what every other name is on this side."""

    names: Tree
    otherwise: Side

    def get(self, name: bytes) -> Side:
        return self.names.get(name, self.otherwise)


_UNDECIDED = Entry(b"?", "")


def _untouched(bases: list[Side], ours: Side, theirs: Side) -> Side:
    """What holds for a name, and all below it, if a side left it alone; ``_UNDECIDED`` if none did."""
    if ours == theirs:
        return _there(ours)
    if bases and all(each == bases[0] for each in bases):
        if ours == bases[0]:
            return _there(theirs)
        if theirs == bases[0]:
            return _there(ours)
    return _UNDECIDED


def _there(side: Side) -> Entry | None:
    return None if side is IN_THE_WAY else side


def _as_folder(side: Side) -> Side:
    return side if side is None or side.is_folder else IN_THE_WAY


def _as_file(side: Side) -> Side:
    return IN_THE_WAY if side is not None and side.is_folder else side


def _merge_files(git: Git, objects: Objects, merge: _Merge) -> list[MergedFile]:
    """Each file that both changed; those that do not merge join the conflicts."""
    merged = []
    for each in merge.both_changed:
        if len(merge.conflicts) >= MOST_CONFLICTS:
            break
        content = merge_lines(git, objects, base=each.base.oid, ours=each.ours.oid, theirs=each.theirs.oid)
        if content is None:
            merge.conflicts.append(each.path)
        else:
            merged.append(MergedFile(each.path, each.ours, content, objects.write_blob(content)))
    return merged


def _put(root: Folder, path: bytes, entry: Entry) -> None:
    """Every folder on the way was looked into: both sides changed it."""
    *folders, name = path.split(b"/")
    for each in folders:
        below = root[each]
        assert isinstance(below, dict)  # noqa: S101 - as said above
        root = below
    root[name] = entry

