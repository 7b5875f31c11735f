"""What one project is upstream: cloned once, then fetched, many refs over one connection.

Used by ``repository.py``. Fetching happens in a mirror beside the repository, which has its objects and upstream's
branches and tags, and nothing else: so the refs of build sets, however many there are, are neither looked through nor
told to upstream. Whoever asks while a fetch is under way shares the next one.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from ci_gate.merger.damage import remove_locks, remove_unfinished
from ci_gate.merger.git import Git, GitError
from ci_gate.merger.refs import BRANCHES, TAGS

CLONE_DEADLINE_S = 3600.0
FETCH_DEADLINE_S = 300.0

REFSPECS = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
FETCH_OPTIONS = (
    "--quiet",
    "--no-tags",
    "--prune",
    "--no-recurse-submodules",
    "--no-auto-maintenance",
    # Tags need not be told upstream: what they have is in the branches as well.
    "--negotiation-tip=refs/heads/*",
)
SETTINGS = {"uploadpack.allowAnySHA1InWant": "true"}
"""Of each repository: a ref that is deleted while somebody fetches it does not break the fetch."""

_MISSING_REF = "couldn't find remote ref "
_DISK_FULL = ("No space left on device", "Disk quota exceeded", "File too large")
_KINDS = {"branch '": BRANCHES, "tag '": TAGS, "'": ""}

log = structlog.stdlib.get_logger("zuul.Repo")


class FetchError(Exception):
    """Upstream could not be reached, or did not give what it has."""


class MissingRefError(Exception):
    """Upstream has no such ref, at least not now."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a project comes from: its URL, what lets git reach it, and who else goes there.

    Clones have slots of their own: they take long, and must not keep others from fetching.
    """

    url: str
    environment: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, str] = field(default_factory=dict, repr=False)
    fetches: asyncio.Semaphore = field(default_factory=asyncio.Semaphore)
    clones: asyncio.Semaphore = field(default_factory=asyncio.Semaphore)


@dataclass(frozen=True, slots=True)
class Fetched:
    """Refs to ids. ``branches`` (and tags) are all that upstream has, None if they were not asked for."""

    changes: Mapping[str, str]
    branches: Mapping[str, str] | None


@dataclass(slots=True)
class _Batch:
    """What goes into one fetch. ``outcome`` is there once it is over."""

    origin: Origin
    changes: dict[str, None] = field(default_factory=dict)
    branches: bool = False
    outcome: Fetched | Exception | None = None


class Upstream:
    """``path`` is the repository, ``scratch`` a folder beside for the mirror and for clones that are under way."""

    def __init__(self, project: str, path: Path, scratch: Path, fetch_deadline_s: float) -> None:
        self._project = project
        self._path = path
        self._clone_path = scratch / "clone"
        self._mirror = scratch / "upstream"
        self._fetch_deadline_s = fetch_deadline_s
        self._lock = asyncio.Lock()
        self._next: _Batch | None = None
        self._checked = False

    async def fetch(self, origin: Origin, *, branches: bool, change: str | None) -> Fetched:
        """Branches and tags, or a change, or both, and what others want at this time.

        A change that upstream does not have is not among what was fetched. Raises FetchError, GitError and OSError.
        """
        batch = self._join(origin, branches=branches, change=change)
        async with self._lock:
            if batch.outcome is None:
                self._next = None
                try:
                    batch.outcome = await self._fetch(batch)
                except (FetchError, GitError, OSError) as problem:
                    batch.outcome = problem
        if isinstance(batch.outcome, Exception):
            raise batch.outcome
        return batch.outcome

    async def clone(self, origin: Origin) -> None:
        """Beside its place and then moved there: a clone that was cut off is never taken for a repository."""
        async with self._lock, origin.clones:
            if await asyncio.to_thread(self._path.is_dir):
                return
            log.info("cloning", project=self._project, url=origin.url)
            await asyncio.to_thread(clear, self._clone_path)
            outside = Git(folder=self._clone_path.parent, environment=origin.environment, config=origin.config)
            options = ["--quiet", "--bare", "--template="]
            for key, value in SETTINGS.items():
                options += ["--config", f"{key}={value}"]
            try:
                where = ("--", origin.url, str(self._clone_path))
                await outside.run("clone", *options, *where, deadline_s=CLONE_DEADLINE_S)
            except GitError as problem:
                self._raise_for_upstream(problem)
                raise
            self._checked = False
            await asyncio.to_thread(shutil.rmtree, self._mirror, ignore_errors=True)
            await asyncio.to_thread(move, self._clone_path, self._path)

    async def default_branch(self, origin: Origin) -> str | None:
        """The ref that upstream's HEAD names, None if it does not say."""
        git = Git(self._path, origin.environment, config=origin.config)
        options = ("--symref", "--", origin.url, "HEAD")
        told = await git.run("ls-remote", *options, deadline_s=self._fetch_deadline_s, accept=range(256))
        symbolic = [line for line in told.text.splitlines() if line.startswith("ref: ")]
        return symbolic[0].removeprefix("ref: ").split("\t")[0] if symbolic else None

    # --- one fetch ---

    def _join(self, origin: Origin, *, branches: bool, change: str | None) -> _Batch:
        if self._next is None or self._next.origin.url != origin.url:
            self._next = _Batch(origin)
        batch = self._next
        batch.branches |= branches
        if change is not None:
            batch.changes[change] = None
        return batch

    async def _fetch(self, batch: _Batch) -> Fetched:
        """One connection, and one more for each change that is not there."""
        await self._prepare_mirror()
        changes = list(batch.changes)
        while changes or batch.branches:
            refspecs = [*changes, *(REFSPECS if batch.branches else ())]
            try:
                async with batch.origin.fetches:
                    await self._fetch_refs(batch.origin, refspecs)
            except GitError as problem:
                missing = problem.stderr.partition(_MISSING_REF)[2].partition("\n")[0].strip()
                if missing in changes:
                    changes.remove(missing)
                    continue
                # Whatever it was: the mirror is cheap to make anew, and may be what is broken.
                await asyncio.to_thread(self._clean_up)
                self._raise_for_upstream(problem)
                raise
            fetched = await asyncio.to_thread(self._fetched)
            branches = {ref: oid for ref, oid in fetched.items() if ref.startswith((BRANCHES, TAGS))}
            wanted = {ref: fetched[ref] for ref in changes if ref in fetched}
            return Fetched(wanted, branches if batch.branches else None)
        return Fetched({}, None)

    async def _fetch_refs(self, origin: Origin, refspecs: list[str]) -> None:
        git = Git(
            self._mirror,
            {**origin.environment, "GIT_OBJECT_DIRECTORY": str(self._path / "objects")},
            config=origin.config,
        )
        begun = time.monotonic()
        where = ("--", origin.url, *refspecs)
        done = await git.run("fetch", *FETCH_OPTIONS, *where, deadline_s=self._fetch_deadline_s)
        log.debug("fetched", project=self._project, refs=len(refspecs), took_s=round(time.monotonic() - begun, 4))
        if "Permanently added" in done.stderr:
            log.warning("unknown host key accepted and recorded", project=self._project, ssh=done.stderr.strip())

    def _fetched(self) -> dict[str, str]:
        """``FETCH_HEAD``: id, whether it is to be merged, and ``branch 'NAME' of URL`` or the like."""
        found = {}
        for line in (self._mirror / "FETCH_HEAD").read_text(errors="surrogateescape").splitlines():
            oid, _, what = line.split("\t", 2)
            for kind, prefix in _KINDS.items():
                if what.startswith(kind):
                    found[prefix + what.removeprefix(kind).partition("' of ")[0]] = oid
                    break
        return found

    async def _prepare_mirror(self) -> None:
        """Made of the repository's own branches and tags, so that nothing is fetched twice."""
        if self._checked:
            return
        if await asyncio.to_thread((self._mirror / "complete").exists):
            await asyncio.to_thread(remove_locks, self._mirror)
        else:
            await asyncio.to_thread(clear, self._mirror)
            await Git(folder=self._mirror.parent).run("init", "--quiet", "--bare", "--template=", str(self._mirror))
            listed = await Git(self._path).run(
                "for-each-ref", "--format=create %(refname) %(objectname)", BRANCHES, TAGS
            )
            inside = Git(self._mirror, {"GIT_OBJECT_DIRECTORY": str(self._path / "objects")})
            await inside.run("update-ref", "--stdin", stdin=listed.stdout)
            await asyncio.to_thread((self._mirror / "complete").touch)
        self._checked = True

    def _clean_up(self) -> None:
        self._checked = False
        shutil.rmtree(self._mirror, ignore_errors=True)
        remove_unfinished(self._path)

    def _raise_for_upstream(self, problem: GitError) -> None:
        """What a failed clone or fetch means. A full disk is our own trouble: then nothing is raised."""
        if not any(each in problem.stderr for each in _DISK_FULL):
            raise FetchError(f"{self._project}: {problem.reason}") from problem


def clear(path: Path) -> None:
    """Nothing is at ``path`` any more, and something can be put there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        shutil.rmtree(path)


def move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    source.rename(target)
