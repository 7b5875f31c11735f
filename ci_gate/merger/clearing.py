"""Deletes published states by age, in every repository below a folder: ``ci-gate merger clear-refs``.

Also what a merger before us left, which has no records. Works beside running mergers and fetches: git's own locks keep
the refs whole, and the objects stay for two weeks.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ci_gate.merger.git import Git, GitError
from ci_gate.merger.names import PRIVATE_FOLDER
from ci_gate.merger.records import Records
from ci_gate.merger.refs import PUBLISHED, Refs

_FORMAT = "--format=%(objectname) %(committerdate:unix) %(refname)"


@dataclass(frozen=True, slots=True)
class Cleared:
    """``refs`` were deleted, or would be; ``kept`` are the others. ``problem``: why that is not so."""

    project: str
    refs: int = 0
    kept: int = 0
    problem: str = ""


def clear_refs(
    git_dir: Path,
    older_than_s: float,
    *,
    is_wanted: Callable[[str], bool] = lambda _: True,
    only_count: bool = False,
    now: Callable[[], float] = time.time,
) -> Iterator[Cleared]:
    """One repository after the other; ``is_wanted`` chooses projects.

    A state's age is the time since it was last known to be of use. Without a record it is that since the ref or its
    commit was made, whichever is younger: a fast-forwarded change has its author's date.
    """
    records, moment = Records(git_dir / PRIVATE_FOLDER / "states"), now() - older_than_s
    for path in _repositories(git_dir):
        project = path.parent.relative_to(git_dir).as_posix()
        if is_wanted(project):
            try:
                yield _clear(path, project, records, moment, only_count=only_count)
            except (GitError, OSError) as problem:
                yield Cleared(project, problem=str(problem))
    if not only_count:
        for build_set in records.unused_since(moment):
            records.forget(build_set)


def _clear(path: Path, project: str, records: Records, moment: float, *, only_count: bool) -> Cleared:
    published = list(_published(path))
    old = [each for each in published if _of_use_at(path, records, each) < moment]
    if old and not only_count:
        refs = Refs(Git(path))
        try:
            refs.delete(each.name for each in old)
        finally:
            refs.close()
        Git(path).call("pack-refs", "--all")
    return Cleared(project, len(old), len(published) - len(old))


@dataclass(frozen=True, slots=True)
class _Published:
    name: str
    committed_at: float

    @property
    def build_set(self) -> str:
        return self.name.rpartition("/")[2]


def _published(path: Path) -> Iterator[_Published]:
    listed = Git(path).call("for-each-ref", _FORMAT, PUBLISHED).stdout.decode(errors="surrogateescape")
    for line in listed.splitlines():
        _, date, name = line.split(" ", 2)
        yield _Published(name, float(date or 0))


def _of_use_at(path: Path, records: Records, ref: _Published) -> float:
    recorded = records.of_use_at(ref.build_set)
    if recorded is not None:
        return recorded
    try:
        return max(ref.committed_at, (path / ref.name).stat().st_mtime)
    except OSError:
        return ref.committed_at  # packed


def _repositories(git_dir: Path) -> Iterator[Path]:
    """One project's may lie below another's."""
    for folder, below, _ in os.walk(git_dir):
        if ".git" in below:
            yield Path(folder, ".git")
        below[:] = sorted(each for each in below if each not in (".git", PRIVATE_FOLDER))
