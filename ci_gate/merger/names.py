"""Names that come from outside, checked before they become paths and refs.

Project names come from Gerrit and from the URLs of anonymous clients, branches and refspecs from events: none is
trusted (``spec/merger.md`` 6). Used by ``merger/`` and by the git pages of ``web/``.
"""

from __future__ import annotations

import re
from pathlib import Path

PRIVATE_FOLDER = ".ci-gate"
"""Below ``git_dir``: what is no repository. No project can have this name."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LONGEST_COMPONENT = 255
_BUILD_SET = re.compile(r"[A-Za-z0-9_-]{1,64}")
_OBJECT_ID = re.compile(r"[0-9a-f]{40}")
_FORBIDDEN_IN_REFS = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//")


class UnsafeNameError(ValueError):
    """A name that must not become a path or a ref."""


def repository_path(git_dir: Path, project: str) -> Path:
    """``GIT_DIR/PROJECT/.git``. Raises UnsafeNameError for a name that leads elsewhere, also through a link."""
    parts = project.split("/")
    for part in parts:
        if (
            part in ("", ".", "..")
            or part.lower() == ".git"
            or _CONTROL.search(part)
            or "\\" in part
            or len(part.encode(errors="surrogateescape")) > _LONGEST_COMPONENT
        ):
            raise UnsafeNameError(f"{project!r} cannot be the name of a project")
    if parts[0] == PRIVATE_FOLDER:
        raise UnsafeNameError(f"{project!r} cannot be the name of a project")
    path = git_dir.joinpath(*parts, ".git")
    if not path.resolve().is_relative_to(git_dir.resolve()):
        raise UnsafeNameError(f"project {project!r} leads out of the git directory")
    return path


def is_ref(name: str) -> bool:
    """May this be (the end of) a ref's name by git's own rules, and never an option or a pattern?"""
    return (
        bool(name)
        and not _FORBIDDEN_IN_REFS.search(name)
        and not name.startswith(("/", "-"))
        and not name.endswith(("/", "."))
        and not any(part.startswith(".") or part.endswith(".lock") for part in name.split("/"))
    )


def is_change_ref(refspec: str) -> bool:
    return refspec.startswith("refs/changes/") and is_ref(refspec)


def is_object_id(name: str) -> bool:
    return _OBJECT_ID.fullmatch(name) is not None


def is_build_set(name: str) -> bool:
    """``Z`` and 32 hex digits in practice; here: what can be part of a ref and a file's name."""
    return _BUILD_SET.fullmatch(name) is not None


def published_ref(branch: str, build_set: str) -> str:
    """Where a build set's state of a branch is fetched from (``spec/merger.md`` 5)."""
    return f"refs/zuul/{branch}/{build_set}"
