"""The line-by-line merge of one file, by ``git merge-file``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from ci_gate.merger.git import Git, GitError
from ci_gate.merger.objects import Objects
from ci_gate.merger.trees import Entry

_COUNTS_OF_CONFLICTS = range(128)  # its exit status; above it is an error


@dataclass(frozen=True, slots=True)
class MergedFile:
    """``ours`` is what our side had there; the merge keeps its mode."""

    path: bytes
    ours: Entry
    content: bytes
    oid: str

    @property
    def entry(self) -> Entry:
        return Entry(self.ours.mode, self.oid)


def merge_lines(git: Git, objects: Objects, *, base: str, ours: str, theirs: str) -> bytes | None:
    """The merged content of three blobs; None if it conflicts, or is nothing that has lines."""
    with TemporaryDirectory(prefix="ci-gate-merge-") as folder:
        for name, oid in (("ours", ours), ("base", base), ("theirs", theirs)):
            Path(folder, name).write_bytes(objects.blob(oid))
        try:
            inside = git.within(Path(folder))
            done = inside.call("merge-file", "-p", "ours", "base", "theirs", accept=_COUNTS_OF_CONFLICTS)
        except GitError as problem:
            if "binary" in problem.stderr:
                return None
            raise
    return done.stdout if done.code == 0 else None
