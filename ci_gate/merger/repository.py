"""One project's bare repository at ``GIT_DIR/PROJECT/.git``: cloned, fetched, published in, mended.

Used by the engine, one writer at a time. The path is the one that the merger before us used, so that web servers
go on serving it and its clones are taken over. HEAD names a branch and nothing is checked out, so no push upstream
can ever make a fetch impossible (``spec/merger.md`` 6 and 8). Knows nothing of build sets.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

import structlog

from ci_gate.merger.damage import is_damaged, looks_damaged, remove_leftovers
from ci_gate.merger.git import Git, GitDeadlineError, GitError
from ci_gate.merger.names import PRIVATE_FOLDER, repository_path

CLONE_DEADLINE_S = 3600.0
FETCH_DEADLINE_S = 300.0

HEADS = "+refs/heads/*:refs/heads/*"
TAGS = "+refs/tags/*:refs/tags/*"
USUAL_BRANCHES = ("refs/heads/main", "refs/heads/master")

log = structlog.stdlib.get_logger("zuul.Repo")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a project comes from: its URL, and the environment that lets git reach it."""

    url: str
    environment: Mapping[str, str] = field(default_factory=dict)


class FetchError(Exception):
    """Upstream could not be reached, or did not give what it has."""


class MissingRefError(Exception):
    """Upstream has no such ref, at least not now."""


class DamagedError(Exception):
    """The repository was found broken and has been thrown away. Asking again makes a new one."""


class Repository:
    """``hold`` it, then use it: every other method is for whoever holds it."""

    def __init__(self, git_dir: Path, project: str, fetch_deadline_s: float = FETCH_DEADLINE_S) -> None:
        """Raises UnsafeNameError for a project name that cannot be a path."""
        self.project = project
        self.path = repository_path(git_dir, project)
        self.git = Git(self.path)
        name = blake2b(project.encode(errors="surrogateescape"), digest_size=16).hexdigest()
        self._scratch = git_dir / PRIVATE_FOLDER / "repositories" / name
        self._fetch_deadline_s = fetch_deadline_s
        self._lock = asyncio.Lock()
        self._checked = False
        self._url: str | None = None

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """Be its only user. Raises DamagedError where what happened inside shows that the repository is broken."""
        async with self._lock:
            try:
                if not self._checked and await self.exists():
                    await self._take_over()
                yield
            except asyncio.CancelledError:
                self._checked = False
                raise
            except (GitError, FetchError) as problem:
                evidence = problem if isinstance(problem, GitError) else problem.__cause__
                if isinstance(evidence, GitDeadlineError):
                    self._checked = False
                elif isinstance(evidence, GitError) and await self._is_damaged(evidence):
                    await self._discard(evidence.reason)
                    raise DamagedError(f"{self.project}: {evidence.reason}") from problem
                raise

    async def exists(self) -> bool:
        return await asyncio.to_thread(self.path.is_dir)

    async def fetch(self, origin: Origin, *, branches: bool, change: str | None = None) -> str | None:
        """Fetch all branches and tags, or a change's ref, or both over one connection; the change's commit.

        Branches and tags become what they are upstream, by force. Clones what is not there yet. Raises FetchError
        and MissingRefError.
        """
        if not await self.exists():
            await self._clone(origin)
            branches = False
        if self._url != origin.url:
            await self.git.run("config", "remote.origin.url", origin.url)
            self._url = origin.url
        refspecs = ([change] if change else []) + ([HEADS, TAGS] if branches else [])
        if refspecs:
            await self._fetch(origin, refspecs)
        head, fetched = await self.commits(["HEAD^{commit}", "FETCH_HEAD^{commit}"])
        if head is None:
            await self._mend_head(origin)
        return fetched if change else None

    async def commits(self, names: Iterable[str]) -> list[str | None]:
        """The objects that names stand for, None for each that is not there."""
        asked = "".join(f"{name}\n" for name in names).encode()
        told = await self.git.run("cat-file", "--batch-check=%(objectname)", stdin=asked)
        return [None if line.endswith(" missing") else line for line in told.text.splitlines()]

    async def has(self, refs: Mapping[str, str]) -> bool:
        """Are all these refs there, as these commits? Needs no holding."""
        try:
            return await self.commits(refs) == list(refs.values())
        except (GitError, OSError):
            return False

    async def publish(self, refs: Mapping[str, str]) -> None:
        """Set refs to commits: all of them or none."""
        told = "".join(f"update {ref}\0{commit}\0\0" for ref, commit in refs.items())
        await self.git.run("update-ref", "--stdin", "-z", stdin=told.encode())

    # --- upstream ---

    async def _clone(self, origin: Origin) -> None:
        """Beside its place and then moved there: a clone that was cut off is never taken for a repository."""
        log.info("cloning", project=self.project, url=origin.url)
        clone = self._scratch / "clone"
        await asyncio.to_thread(_clear, clone)
        outside = Git(folder=clone.parent, environment=origin.environment)
        options = ("--quiet", "--bare", "--template=")
        try:
            await outside.run("clone", *options, "--", origin.url, str(clone), deadline_s=CLONE_DEADLINE_S)
        except GitError as problem:
            _raise_for_upstream(problem, self.project)
            raise
        await asyncio.to_thread(_move, clone, self.path)
        self._checked = True

    async def _fetch(self, origin: Origin, refspecs: Sequence[str]) -> None:
        options = ["--quiet", "--no-tags", "--prune", "--no-recurse-submodules", "--no-auto-maintenance"]
        # Only branches tell upstream what is here: the many refs of build sets would slow each fetch.
        options.append("--negotiation-tip=refs/heads/*")
        git = self.git.having(**origin.environment)
        begun = time.monotonic()
        try:
            done = await git.run("fetch", *options, "--", origin.url, *refspecs, deadline_s=self._fetch_deadline_s)
        except GitError as problem:
            _raise_for_upstream(problem, self.project)
            raise
        log.debug("fetched", project=self.project, took_s=round(time.monotonic() - begun, 4))
        if "Permanently added" in done.stderr:
            log.warning("unknown host key accepted and recorded", project=self.project, ssh=done.stderr.strip())

    async def _mend_head(self, origin: Origin) -> None:
        """HEAD's branch is gone: take upstream's default branch, or another; clients clone from here."""
        git = self.git.having(**origin.environment)
        told = await git.run(
            "ls-remote", "--symref", "--", origin.url, "HEAD", deadline_s=self._fetch_deadline_s, accept=range(256)
        )
        symbolic = [line for line in told.text.splitlines() if line.startswith("ref: ")]
        await self._point_head(line.removeprefix("ref: ").split("\t")[0] for line in symbolic)

    # --- what is on disk ---

    async def _take_over(self) -> None:
        """The first use in this process, or the first after a git was killed: tidy what others left."""
        removed = await asyncio.to_thread(remove_leftovers, self.path)
        if removed:
            log.warning("removed what a killed process left behind", project=self.project, files=removed)
        if (await self.git.run("rev-parse", "--is-bare-repository")).text != "true":
            log.info("taking over a clone with a working tree", project=self.project)
            await self.git.run("config", "core.bare", "true")
        head = await self.git.run("symbolic-ref", "--quiet", "HEAD", accept=(0, 1))
        if not head.text.startswith("refs/heads/"):
            await self._point_head()
        self._checked = True

    async def _point_head(self, wanted: Iterable[str] = ()) -> None:
        """To the first wanted branch that is there, else to a usual one, else to any."""
        there = (await self.git.run("for-each-ref", "--format=%(refname)", "refs/heads")).text.splitlines()
        branch = next((each for each in (*wanted, *USUAL_BRANCHES, *there) if each in there), USUAL_BRANCHES[0])
        await self.git.run("symbolic-ref", "HEAD", branch)

    async def _is_damaged(self, evidence: GitError) -> bool:
        return looks_damaged(evidence) and await self.exists() and await is_damaged(self.git)

    async def _discard(self, reason: str) -> None:
        log.error("repository is damaged: thrown away, to be cloned again", project=self.project, reason=reason)
        self._checked = False
        self._url = None
        discarded = self._scratch / "discarded"
        await asyncio.to_thread(_clear, discarded)
        await asyncio.to_thread(_move, self.path, discarded)
        await asyncio.to_thread(_clear, discarded)


def _raise_for_upstream(problem: GitError, project: str) -> None:
    """What a failed clone or fetch means. A full disk is our own trouble: then nothing is raised."""
    if "couldn't find remote ref" in problem.stderr:
        raise MissingRefError(f"{project}: {problem.reason}") from problem
    if "No space left on device" not in problem.stderr:
        raise FetchError(f"{project}: {problem.reason}") from problem


def _clear(path: Path) -> None:
    """Nothing is at ``path`` any more, and something can be put there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        shutil.rmtree(path)


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    source.rename(target)
