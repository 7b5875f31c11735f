"""What a merger makes sure of before it starts: a git that is new enough, and a folder that is its own."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ci_gate.merger.git import Git
from ci_gate.merger.names import PRIVATE_FOLDER

OLDEST_GIT = (2, 39)


class ClaimError(Exception):
    """It cannot start. The text says why and what to do, for the operator."""


def check_git() -> None:
    """Raises ClaimError for a git that cannot merge without a work tree."""
    try:
        said = Git(folder=Path.cwd()).call("version").text
    except (OSError, subprocess.SubprocessError) as problem:
        raise ClaimError(f"git cannot be run: {problem}; install git {_text(OLDEST_GIT)} or newer") from problem
    found = re.search(r"(\d+)\.(\d+)", said)
    if found is not None and (int(found[1]), int(found[2])) < OLDEST_GIT:
        raise ClaimError(f"git {_text(OLDEST_GIT)} or newer is needed; this is {said}")


@contextmanager
def claimed(git_dir: Path) -> Iterator[None]:
    """No other merger works in this folder meanwhile, on this host. Raises ClaimError and OSError."""
    folder = git_dir / PRIVATE_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise ClaimError(
                f"another merger, process {lock.read().strip() or 'unknown'}, works in git_dir {git_dir}; "
                "give each a git_dir of its own"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _text(version: tuple[int, int]) -> str:
    return ".".join(str(each) for each in version)
