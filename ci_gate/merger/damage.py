"""Repositories that a crash or a bad disk left broken: how they are recognised, and what killed processes leave."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ci_gate.merger.git import Git, GitDeadlineError, GitError

CHECK_DEADLINE_S = 300.0

_SIGNS = (
    "bad config",
    "bad object",
    "bad tree",
    "can only be used inside a git repository",
    "cannot read",
    "corrupt",
    "did not send all necessary objects",
    "does not match index",
    "failed to read",
    "inflate",
    "invalid sha1 pointer",
    "is empty",
    "missing object",
    "not a git repository",
    "not a valid object",
    "reference broken",
    "unable to find",
    "unable to parse",
    "unable to read",
    "unable to resolve reference",
    "unexpected line",
    "unterminated line",
)


def looks_damaged(problem: GitError) -> bool:
    """Worth a check? Wrong now and then: upstream's own troubles read alike."""
    said = problem.stderr.lower()
    return any(each in said for each in _SIGNS)


async def is_damaged(git: Git) -> bool:
    """Does git itself say that something is missing? Contents are not judged: old histories have odd commits."""
    try:
        await git.run("fsck", "--connectivity-only", "--no-dangling", "--no-progress", deadline_s=CHECK_DEADLINE_S)
    except GitDeadlineError:
        return False
    except GitError:
        return True
    return False


def remove_locks(repository: Path) -> int:
    """Delete lock files. Only while no other process changes refs here. How many there were."""
    locks = [*repository.glob("*.lock"), *(repository / "refs").rglob("*.lock")]
    locks += [repository / "objects" / "maintenance.lock", *(repository / "objects" / "info").rglob("*.lock")]
    return _remove(locks)


def remove_unfinished(repository: Path) -> int:
    """Delete objects and packs that were never finished. Whoever still writes one fails. How many there were."""
    objects = repository / "objects"
    return _remove([*(objects / "pack").glob("tmp_*"), *objects.glob("??/tmp_obj_*")])


def _remove(paths: Iterable[Path]) -> int:
    removed = 0
    for path in paths:
        with suppress(FileNotFoundError):
            path.unlink()
            removed += 1
    return removed
