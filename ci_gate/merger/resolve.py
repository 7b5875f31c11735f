"""The strategy of ``git merge -s resolve``, without a work tree: tree in, tree out.

A three-way merge of trees in a private index settles every path that only one side touched. What is left is judged
path by path and merged line by line, by the rules that the strategy itself has: links and submodules do not merge,
nor do files that both sides added or whose modes differ.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from ci_gate.merger.attributes import REGULAR_MODES, File, check_out, governing, place, unpack
from ci_gate.merger.conflict import ConflictError
from ci_gate.merger.git import Git, GitError

BASE, OURS, THEIRS = 1, 2, 3

_SUBMODULE = "160000"
_COUNTS_OF_CONFLICTS = range(128)  # the exit status of merge-file; above it is an error

Stages = Mapping[int, File]
"""One unmerged path: what base, ours and theirs have there; absent where they have nothing."""


async def merge_resolve(git: Git, bases: Sequence[str], ours: str, theirs: str, scratch: Path) -> str:
    """The merged tree. ``scratch`` is an empty folder. Raises ConflictError."""
    work_tree = scratch / "tree"
    work_tree.mkdir()
    index = git.having(GIT_INDEX_FILE=str(scratch / "index")).within(work_tree)
    await index.run("read-tree", "-i", "-m", "--aggressive", *bases, ours, theirs)
    unmerged = await _unmerged(index)
    if unmerged:
        await _settle(index, unmerged, work_tree)
    return (await index.run("write-tree")).text


async def _unmerged(index: Git) -> list[Stages]:
    found: dict[bytes, dict[int, File]] = {}
    for stage, file in await _entries(index, "--unmerged"):
        found.setdefault(file.path, {})[stage] = file
    return list(found.values())


async def _entries(index: Git, *which: str) -> list[tuple[int, File]]:
    entries = []
    listed = await index.run("ls-files", "--stage", "-z", *which)
    for entry in listed.stdout.split(b"\0")[:-1]:
        facts, _, path = entry.partition(b"\t")
        mode, oid, stage = facts.decode().split(" ")
        entries.append((int(stage), File(path, mode, oid)))
    return entries


async def _settle(index: Git, unmerged: Iterable[Stages], work_tree: Path) -> None:
    """Every path gets its merged entry in the index, or ConflictError names all that could not."""
    decided: list[tuple[File, File | None]] = []
    merged: list[bytes] = []
    conflicts: list[bytes] = []
    for stages in unmerged:
        some = next(iter(stages.values()))
        if BASE in stages and OURS in stages and THEIRS in stages:
            merges = _may_merge(stages) and await _merge_lines(index, stages, work_tree)
            (merged if merges else conflicts).append(some.path)
        elif _at_odds(stages):
            conflicts.append(some.path)
        else:
            decided.append((some, None if BASE in stages else some))
    if conflicts:
        raise ConflictError("the contents conflict", conflicts)
    await _enter_decided(index, decided)
    await _enter_merged(index, merged, work_tree)


def _may_merge(stages: Stages) -> bool:
    base, ours, theirs = (stages[each] for each in (BASE, OURS, THEIRS))
    return ours.mode == theirs.mode and ours.mode in REGULAR_MODES and base.mode != _SUBMODULE


def _at_odds(stages: Stages) -> bool:
    """At most two of the three have the path: deleted here and changed there, or added twice and not the same."""
    ours, theirs = stages.get(OURS), stages.get(THEIRS)
    if BASE in stages:
        return any(each not in (None, stages[BASE]) for each in (ours, theirs))
    return None not in (ours, theirs) and ours != theirs


async def _merge_lines(index: Git, stages: Stages, work_tree: Path) -> bool:
    """Merge one file into its place in the work tree; False if it conflicts."""
    unpacked = [unpack(index, stages[each].oid, work_tree) for each in (OURS, BASE, THEIRS)]
    ours, base, theirs = await asyncio.gather(*unpacked)
    try:
        done = await index.run("merge-file", ours.name, base.name, theirs.name, accept=_COUNTS_OF_CONFLICTS)
    except GitError as problem:
        if "binary" in problem.stderr:
            return False
        raise
    if done.code == 0:
        place(ours, work_tree, stages[OURS])
    return done.code == 0


async def _enter_decided(index: Git, decided: Sequence[tuple[File, File | None]]) -> None:
    """Replace unmerged entries by the one that wins, or by nothing."""
    lines = []
    for unmerged, winner in decided:
        lines.append(f"0 {unmerged.oid}\t".encode() + unmerged.path + b"\0")
        if winner is not None:
            lines.append(f"{winner.mode} {winner.oid} 0\t".encode() + winner.path + b"\0")
    if lines:
        await _refuse_files_that_are_folders(index, decided)
        await index.run("update-index", "-z", "--index-info", stdin=b"".join(lines))


async def _refuse_files_that_are_folders(index: Git, decided: Sequence[tuple[File, File | None]]) -> None:
    """The index would drop whatever is in the way of a path that is entered."""
    removed = {unmerged.path for unmerged, winner in decided if winner is None}
    names = {file.path for _, file in await _entries(index)} - removed
    folders = {folder for name in names for folder in _folders(name)}
    clashes = names & folders
    if clashes:
        raise ConflictError("a file of one side is a folder of the other", clashes)


def _folders(path: bytes) -> Iterator[bytes]:
    """``a/b/c`` is in ``a/b`` and in ``a``."""
    while b"/" in path:
        path = path.rpartition(b"/")[0]
        yield path


async def _enter_merged(index: Git, paths: Sequence[bytes], work_tree: Path) -> None:
    """Add the merged files from the work tree, converted as ``git add`` would."""
    if not paths:
        return
    literal = index.having(GIT_LITERAL_PATHSPECS="1")
    entries = await _entries(literal, "--", *governing(paths))
    attributes = [file for stage, file in entries if stage in (0, OURS) and file.path not in paths]
    await check_out(index, attributes, work_tree)
    inside = index.having(GIT_WORK_TREE=str(work_tree))
    await inside.run("update-index", "--add", "-z", "--stdin", stdin=b"".join(path + b"\0" for path in paths))
