"""All projects of a call: got several at once, put in place one after the other, in the order given.

What is not there yet is cloned beside the copies, in a folder that is gone in the end, and moved when it is complete
and all projects before it are in place. So a project after one that failed is never prepared, and no folder inside
another is made before the outer one.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ci_gate.cloner.destinations import Destination, destinations, read_map
from ci_gate.cloner.errors import ClonerError
from ci_gate.cloner.git import Git
from ci_gate.cloner.project import Obtained, Project
from ci_gate.cloner.request import Request

AT_ONCE = 4
SCRATCH = ".ci-gate-cloner-"

log = logging.getLogger("ci_gate.cloner")


def log_of(project: str) -> logging.Logger:
    """Lines of several projects at once are told apart by their logger's name."""
    return logging.getLogger(f"{log.name}.{project}")


def prepare(request: Request) -> None:
    """Every project's working copy. Raises ClonerError, naming the project; those before it are prepared."""
    if shutil.which("git") is None:
        raise ClonerError("git is not there: install it, or put it on PATH")
    clone_map = read_map(request.map_file) if request.map_file else []
    wanted = destinations(request.projects, request.workspace, clone_map)
    for project in sorted(set(request.project_branches) - set(request.projects)):
        log.warning("--project-branch names %s, which is not among the projects", project)
    try:
        request.workspace.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=SCRATCH, dir=request.workspace.absolute()))
    except OSError as problem:
        raise ClonerError(f"cannot write to the workspace {request.workspace}: {problem.strerror}") from problem
    git = Git()
    try:
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="project") as pool:
            try:
                _prepare(request, wanted, scratch, git, pool)
            finally:
                git.end()
                pool.shutdown(cancel_futures=True)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _prepare(request: Request, wanted: list[Destination], scratch: Path, git: Git, pool: ThreadPoolExecutor) -> None:
    coming = []
    for number, each in enumerate(wanted):
        project = Project(request, each, scratch / str(number), git, log_of(each.project))
        coming.append((each, pool.submit(project.obtain)))
    for each, obtained in coming:
        try:
            _put_in_place(obtained.result(), scratch, git)
        except (ClonerError, OSError) as problem:
            raise ClonerError(f"{each.project}: {problem}") from problem


def _put_in_place(obtained: Obtained, scratch: Path, git: Git) -> None:
    path = obtained.destination.path
    project_log = log_of(obtained.destination.project)
    if obtained.folder != path:
        path.mkdir(parents=True, exist_ok=True)
        shutil.move(obtained.folder / ".git", path / ".git")
    # One --force only: repositories inside this one are others' copies, and stay.
    git.run(project_log, "clean", "--quiet", "--force", "-d", "-x", f"--exclude=/{scratch.name}", folder=path)
    git.run(
        project_log,
        "checkout",
        "--quiet",
        "--force",
        "--detach",
        "--no-recurse-submodules",
        obtained.commit,
        folder=path,
    )
    subject = git.run(project_log, "log", "-1", "--format=%s", folder=path)
    project_log.info("checked out %s: %s (%s)", obtained.commit, obtained.what, subject)
