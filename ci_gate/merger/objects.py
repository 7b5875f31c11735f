"""A repository's objects: read through one ``git cat-file`` that stays, written as loose objects.

For one worker thread at a time. Knows commits, trees and blobs, and neither refs nor merges. What was read or written
lately is remembered: merges in a chain look at the same trees again and again.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import zlib
from collections import OrderedDict
from pathlib import Path

from ci_gate.merger.commits import Commit, format_commit, parse_commit
from ci_gate.merger.git import Git, GitError
from ci_gate.merger.sessions import Session
from ci_gate.merger.trees import EMPTY_TREE, Tree, format_tree, parse_tree

COMMITS_REMEMBERED = 20_000
ENTRIES_REMEMBERED = 40_000

_NOT_ONE_OBJECT = (b" missing", b" ambiguous")


class MissingObjectError(GitError):
    """The repository lacks an object, or has another kind of object there."""

    def __init__(self, name: str, wanted: str) -> None:
        super().__init__(("cat-file",), None, f"missing object: no {wanted} {name}")


class Objects:
    """Names are ids in hex or anything that git resolves to one. Reading raises MissingObjectError and GitError."""

    def __init__(self, git: Git) -> None:
        assert git.directory is not None  # noqa: S101 - objects are a repository's
        self._folder = git.directory / "objects"
        self._session = Session(git, "cat-file", "--batch")
        self._commits: OrderedDict[str, Commit] = OrderedDict()
        self._trees: OrderedDict[str, Tree] = OrderedDict()
        self._entries = 0

    def find(self, name: str) -> str | None:
        """The id that a name stands for, None if there is no such object."""
        found = self._ask(name)
        return found[0] if found else None

    def has_commit(self, oid: str) -> bool:
        if oid in self._commits:
            return True
        found = self._ask(oid)
        return found is not None and found[1] == "commit"

    def knows_commit(self, oid: str) -> bool:
        """Would ``commit`` answer from memory?"""
        return oid in self._commits

    def commit(self, oid: str) -> Commit:
        if oid in self._commits:
            self._commits.move_to_end(oid)
            return self._commits[oid]
        try:
            commit = parse_commit(self._read(oid, "commit"))
        except ValueError as problem:
            raise GitError(("cat-file",), None, f"bad object {oid}: {problem}") from problem
        self._remember_commit(oid, commit)
        return commit

    def tree(self, oid: str) -> Tree:
        """Raises BadTreeError besides."""
        if oid == EMPTY_TREE:
            return {}
        if oid in self._trees:
            self._trees.move_to_end(oid)
            return self._trees[oid]
        try:
            tree = parse_tree(self._read(oid, "tree"))
        except ValueError as problem:
            raise GitError(("cat-file",), None, f"bad tree {oid}: {problem}") from problem
        self._remember_tree(oid, tree)
        return tree

    def blob(self, oid: str) -> bytes:
        return self._read(oid, "blob")

    def write_commit(self, commit: Commit) -> str:
        """Store it; its id. Raises OSError, as all writing does."""
        oid = self._write(b"commit", format_commit(commit))
        self._remember_commit(oid, commit)
        return oid

    def write_tree(self, tree: Tree) -> str:
        oid = self._write(b"tree", format_tree(tree))
        self._remember_tree(oid, tree)
        return oid

    def write_blob(self, content: bytes) -> str:
        return self._write(b"blob", content)

    def kill(self) -> None:
        """From any thread: ends whatever is asked at the moment."""
        self._session.kill()

    def close(self) -> None:
        self._session.close()
        self._commits.clear()
        self._trees.clear()
        self._entries = 0

    # --- reading ---

    def _read(self, name: str, kind: str) -> bytes:
        found = self._ask(name)
        if found is None or found[1] != kind:
            raise MissingObjectError(name, kind)
        return found[2]

    def _ask(self, name: str) -> tuple[str, str, bytes] | None:
        """Id, kind and content; None if there is none."""
        if "\n" in name:
            return None
        self._session.send(name.encode(errors="surrogateescape") + b"\n")
        head = self._session.until(b"\n")
        if head.endswith(_NOT_ONE_OBJECT):
            return None
        oid, kind, size = head.decode().split(" ")
        content = self._session.exactly(int(size))
        self._session.exactly(1)
        return oid, kind, content

    def _remember_commit(self, oid: str, commit: Commit) -> None:
        self._commits[oid] = commit
        if len(self._commits) > COMMITS_REMEMBERED:
            self._commits.popitem(last=False)

    def _remember_tree(self, oid: str, tree: Tree) -> None:
        if oid in self._trees:
            return
        self._trees[oid] = tree
        self._entries += len(tree)
        while self._entries > ENTRIES_REMEMBERED and self._trees:
            _, forgotten = self._trees.popitem(last=False)
            self._entries -= len(forgotten)

    # --- writing ---

    def _write(self, kind: bytes, content: bytes) -> str:
        """As ``git hash-object -w`` does: beside its place, then moved there, so that nobody sees half of it."""
        raw = b"%s %d\0" % (kind, len(content)) + content
        oid = hashlib.sha1(raw, usedforsecurity=False).hexdigest()
        folder = self._folder / oid[:2]
        path = folder / oid[2:]
        try:
            os.utime(path)  # it is there: as good as new, so that no garbage collection takes it
        except FileNotFoundError:
            folder.mkdir(exist_ok=True)
            _place(zlib.compress(raw, 1), path)
        return oid


def _place(content: bytes, path: Path) -> None:
    descriptor, name = tempfile.mkstemp(prefix="tmp_obj_", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.chmod(name, 0o444)  # noqa: PTH101 - a name from mkstemp
        os.replace(name, path)  # noqa: PTH105 - the same
    except BaseException:
        os.unlink(name)  # noqa: PTH108 - the same
        raise
