"""The ``.gitattributes`` that govern a few paths, put where git looks for them.

They can decide how a file merges (``merge=union``, ``binary``). In a bare repository git does not see those that
are part of the contents, so a merge of lines gets a scratch work tree with nothing else in it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ci_gate.merger.git import Git

REGULAR_MODES = ("100644", "100755")


@dataclass(frozen=True, slots=True)
class File:
    """A path with what a tree or an index says of it. The path is raw bytes, with slashes."""

    path: bytes
    mode: str
    oid: str


def governing(paths: Iterable[bytes]) -> list[str]:
    """Every ``.gitattributes`` that may apply to one of these paths, as arguments for git."""
    folders = {folder for path in paths for folder in PurePosixPath(os.fsdecode(path)).parents}
    return sorted(str(folder / ".gitattributes") for folder in folders)


async def check_out(git: Git, files: Iterable[File], work_tree: Path) -> None:
    """Write files as they are stored, without any conversion."""
    for file in files:
        if file.mode in REGULAR_MODES:  # git itself follows no link here
            place(await unpack(git, file.oid, work_tree), work_tree, file)


async def unpack(git: Git, oid: str, work_tree: Path) -> Path:
    """A blob as a new file in the work tree's folder, under a name made by git."""
    return work_tree / (await git.run("unpack-file", oid)).text


def place(unpacked: Path, work_tree: Path, file: File) -> None:
    """Move an unpacked file to its path. An index or a tree of git has no path that leads out of the work tree."""
    target = work_tree / os.fsdecode(file.path)
    target.parent.mkdir(parents=True, exist_ok=True)
    unpacked.replace(target)
    target.chmod(0o755 if file.mode == "100755" else 0o644)
