"""Git's default strategy, without a work tree: what ``git merge`` and ``git cherry-pick`` do with contents."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ci_gate.merger.attributes import File, check_out, governing
from ci_gate.merger.conflict import ConflictError
from ci_gate.merger.git import Git

_CONFLICTS = 1


@dataclass(frozen=True, slots=True)
class _Outcome:
    """``line_merged`` are the paths that both sides changed, merged or not: only there do attributes matter."""

    tree: str
    conflicts: frozenset[bytes]
    clean: bool
    line_merged: frozenset[bytes]


async def merge_ort(git: Git, ours: str, theirs: str, scratch: Path) -> str:
    """The merged tree of two commits with a common history, or with none: then against nothing.

    ``scratch`` is an empty folder. Raises ConflictError.
    """
    outcome = await _merge(git, ours, theirs)
    if outcome.line_merged:
        attributes = await _attributes(git, ours, outcome.line_merged)
        if attributes:
            inside = git.within(scratch)
            await check_out(inside, attributes, scratch)
            outcome = await _merge(inside.having(GIT_WORK_TREE=str(scratch)), ours, theirs)
    if not outcome.clean:
        raise ConflictError("the contents conflict", outcome.conflicts)
    return outcome.tree


async def _merge(git: Git, ours: str, theirs: str) -> _Outcome:
    options = ("--write-tree", "-z", "--name-only", "--messages", "--allow-unrelated-histories")
    done = await git.run("merge-tree", *options, ours, theirs, accept=(0, _CONFLICTS))
    fields = iter(done.stdout.split(b"\0"))
    tree = next(fields).decode().strip()
    conflicts = frozenset(iter(lambda: next(fields, b""), b""))
    line_merged = frozenset(_paths_of_messages(fields))
    return _Outcome(tree, conflicts, done.code == 0, conflicts | line_merged)


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


async def _attributes(git: Git, commit: str, paths: frozenset[bytes]) -> list[File]:
    listed = await git.having(GIT_LITERAL_PATHSPECS="1").run("ls-tree", "-z", commit, "--", *governing(paths))
    files = []
    for entry in listed.stdout.split(b"\0")[:-1]:
        facts, _, path = entry.partition(b"\t")
        mode, _, oid = facts.decode().split(" ")
        files.append(File(path, mode, oid))
    return files
