"""What is asked for: the options of zuul-cloner, and the ``ZUUL_*`` variables of a build in their place.

Used by the commands, which print a ``UsageError`` and end with status 2. Looks at names only, not at repositories.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ci_gate.cloner.errors import UsageError

_UNFIT_FOR_REFS = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|^[-/+]|/$|\.lock$")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Request:
    """One call. URLs have no slash at their end; what was not given is None."""

    base_url: str
    projects: tuple[str, ...]
    workspace: Path = Path()
    map_file: Path | None = None
    cache_dir: Path | None = None
    branch: str | None = None
    project_branches: Mapping[str, str] = field(default_factory=dict)
    zuul_branch: str | None = None
    zuul_ref: str | None = None
    zuul_url: str | None = None
    zuul_project: str | None = None
    zuul_newrev: str | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--workspace", metavar="DIR", default=".", help="below it the copies are made (default: the current folder)")
    add("-m", "--map", metavar="FILE", help="clone map: where projects go that do not go to WORKSPACE/PROJECT")
    add("--cache-dir", metavar="DIR", help="local copies, DIR/PROJECT, to clone from first (ZUUL_CACHE_DIR)")
    add("--branch", metavar="B", help="branch for all projects, in place of ZUUL_BRANCH")
    add(
        "--project-branch",
        metavar="PROJECT=B",
        action="append",
        default=[],
        help="branch for one project, before --branch; may be given several times",
    )
    add("--zuul-branch", metavar="B", help="branch of the change (ZUUL_BRANCH)")
    add("--zuul-ref", metavar="REF", help="ref of the merged state (ZUUL_REF)")
    add("--zuul-url", metavar="URL", help="where the merger serves its repositories (ZUUL_URL)")
    add("--zuul-project", metavar="PROJECT", help="project of the change (ZUUL_PROJECT)")
    add("--zuul-newrev", metavar="SHA", help="revision that a ref was updated to (ZUUL_NEWREV)")
    add("git_base_url", metavar="GIT_BASE_URL", help="projects come from GIT_BASE_URL/PROJECT")
    add("projects", metavar="PROJECT", nargs="+", help="the projects, outer folders before inner ones")


def read_request(given: argparse.Namespace, environment: Mapping[str, str]) -> Request:
    """Options win over the environment; what is empty counts as not given. Raises UsageError."""

    def value(name: str, variable: str) -> str | None:
        option = getattr(given, name)
        return (environment.get(variable) if option is None else option) or None

    request = Request(
        base_url=_url(given.git_base_url),
        projects=tuple(given.projects),
        workspace=Path(given.workspace),
        map_file=Path(given.map) if given.map else None,
        cache_dir=_path(value("cache_dir", "ZUUL_CACHE_DIR")),
        branch=given.branch or None,
        project_branches=_project_branches(given.project_branch),
        zuul_branch=value("zuul_branch", "ZUUL_BRANCH"),
        zuul_ref=value("zuul_ref", "ZUUL_REF"),
        zuul_url=_url(value("zuul_url", "ZUUL_URL")),
        zuul_project=value("zuul_project", "ZUUL_PROJECT"),
        zuul_newrev=value("zuul_newrev", "ZUUL_NEWREV"),
    )
    _check(request)
    return request


def _check(request: Request) -> None:
    if not request.base_url:
        raise UsageError("GIT_BASE_URL is empty")
    if request.zuul_ref and not request.zuul_url:
        raise UsageError("--zuul-ref (ZUUL_REF) needs --zuul-url (ZUUL_URL): where to fetch it from")
    if request.zuul_newrev and not request.zuul_project:
        raise UsageError("--zuul-newrev (ZUUL_NEWREV) needs --zuul-project (ZUUL_PROJECT): whose revision it is")
    if (request.zuul_newrev or "").startswith("-"):
        raise UsageError(f"--zuul-newrev (ZUUL_NEWREV): {request.zuul_newrev!r} is no revision")
    for project in request.projects:
        if _CONTROL.search(project) or {"", ".", ".."} & set(project.rstrip("/").split("/")):
            raise UsageError(f"{project!r} cannot be the name of a project")
    branches = {
        "--branch": request.branch,
        "--zuul-branch (ZUUL_BRANCH)": request.zuul_branch,
        "--zuul-ref (ZUUL_REF)": request.zuul_ref,
        **{f"--project-branch of {project}": branch for project, branch in request.project_branches.items()},
    }
    for option, name in branches.items():
        if name and _UNFIT_FOR_REFS.search(name):
            raise UsageError(f"{option}: {name!r} cannot be the name of a branch or a ref")


def _project_branches(given: Sequence[str]) -> dict[str, str]:
    branches = {}
    for each in given:
        project, _, branch = each.partition("=")
        if not project or not branch:
            raise UsageError(f"--project-branch: {each!r} is not PROJECT=BRANCH, as in org/app=stable")
        branches[project] = branch
    return branches


def _url(given: str | None) -> str:
    """Without slashes at its end. A path is made absolute, for git is called in other folders."""
    if not given:
        return ""
    is_path = "://" not in given and ":" not in given.partition("/")[0]
    return (str(Path(given).absolute()) if is_path else given).rstrip("/")


def _path(given: str | None) -> Path | None:
    return Path(given).absolute() if given else None
