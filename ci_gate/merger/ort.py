"""Git's default strategy, without a work tree: what ``git merge`` and ``git cherry-pick`` do with contents.

One ``git merge-tree`` stays and answers merge after merge. Only where attributes may decide on a merge of lines does a
merge get a process and a scratch work tree of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from ci_gate.merger.attributes import check_out, governing
from ci_gate.merger.conflict import ConflictError
from ci_gate.merger.git import Git
from ci_gate.merger.objects import Objects
from ci_gate.merger.sessions import Session
from ci_gate.merger.trees import EMPTY_TREE

_OPTIONS = ("--write-tree", "-z", "--name-only", "--messages", "--allow-unrelated-histories")
_CLEAN, _CONFLICTS = 0, 1


@dataclass(frozen=True, slots=True)
class _Outcome:
    """``line_merged`` are the paths that both sides changed, merged or not: only there do attributes matter."""

    tree: str
    conflicts: frozenset[bytes]
    clean: bool
    line_merged: frozenset[bytes]


class MergeTree:
    """For one worker thread at a time."""

    def __init__(self, git: Git) -> None:
        # Some versions take the attributes of a bare repository from its HEAD, which may be any branch.
        self._session = Session(git.set_to("attr.tree", EMPTY_TREE), "merge-tree", *_OPTIONS, "--stdin")

    def merge(self, ours: str, theirs: str) -> _Outcome:
        """Raises GitError."""
        # git holds back the end of an answer until it begins the next one: a commit merged with itself pushes it out.
        self._session.send(f"{ours} {theirs}\n{theirs} {theirs}\n".encode())
        fields = self._fields()
        clean = self._status() != b"0"
        outcome = _outcome(fields, clean=clean)
        self._status()
        next(fields)
        return outcome

    def kill(self) -> None:
        self._session.kill()

    def close(self) -> None:
        self._session.close()

    def _fields(self) -> Iterator[bytes]:
        while True:
            yield self._session.until(b"\0")

    def _status(self) -> bytes:
        """What an answer begins with, after what is left of the one before."""
        return next(field for field in self._fields() if field)


def merge_ort(git: Git, objects: Objects, merges: MergeTree, ours: str, theirs: str) -> str:
    """The merged tree of two commits with a common history, or with none: then against nothing.

    Raises ConflictError.
    """
    outcome = merges.merge(ours, theirs)
    attributes = governing(objects, objects.tree(objects.commit(ours).tree), outcome.line_merged)
    if attributes:
        with TemporaryDirectory(prefix="ci-gate-merge-") as folder:
            check_out(objects, attributes, Path(folder))
            outcome = _merge_inside(git.within(Path(folder)).having(GIT_WORK_TREE=folder), ours, theirs)
    if not outcome.clean:
        raise ConflictError("the contents conflict", outcome.conflicts)
    return outcome.tree


def _merge_inside(git: Git, ours: str, theirs: str) -> _Outcome:
    done = git.call("merge-tree", *_OPTIONS, ours, theirs, accept=(_CLEAN, _CONFLICTS))
    return _outcome(iter((*done.stdout.split(b"\0"), b"")), clean=done.code == _CLEAN)


def _outcome(fields: Iterator[bytes], *, clean: bool) -> _Outcome:
    """From the tree on: the tree, the paths in conflict and an empty field, the messages."""
    tree = next(fields).decode().strip()
    conflicts = frozenset(iter(lambda: next(fields), b""))
    line_merged = frozenset(_paths_of_messages(fields))
    return _Outcome(tree, conflicts, clean, conflicts | line_merged)


def _paths_of_messages(fields: Iterator[bytes]) -> Iterator[bytes]:
    """Each message is: how many paths, the paths, its kind, its text."""
    for count in fields:
        if not count.isdigit():  # the end, or free text that git adds about submodules
            return
        paths = [next(fields) for _ in range(int(count))]
        kind = next(fields)
        next(fields)
        if kind == b"Auto-merging":
            yield from paths
