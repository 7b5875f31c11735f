"""One project's bare repository at ``GIT_DIR/PROJECT/.git``: brought up to date, merged in, published in, mended.

Used by the engine. The path is the one that the merger before us used, so that web servers go on serving it and its
clones are taken over. HEAD names a branch and nothing is checked out, so no push upstream can ever make a fetch
impossible (``spec/merger.md`` 6 and 8). Knows nothing of build sets.

Work on objects and refs happens in a worker thread, one call at a time; fetching goes on beside it.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import Executor
from hashlib import blake2b
from pathlib import Path
from typing import TypeVar

import structlog

from ci_gate.merger.damage import is_damaged, looks_damaged, remove_locks, remove_unfinished
from ci_gate.merger.git import LOCAL_DEADLINE_S, Git, GitDeadlineError, GitError
from ci_gate.merger.names import PRIVATE_FOLDER, repository_path
from ci_gate.merger.refs import BRANCHES, TAGS, Refs
from ci_gate.merger.sessions import SessionEndedError
from ci_gate.merger.speculative import Workbench
from ci_gate.merger.upstream import FETCH_DEADLINE_S, SETTINGS, Fetched, FetchError, Origin, Upstream, clear, move

USUAL_BRANCHES = ("refs/heads/main", "refs/heads/master")
CHANGES_REMEMBERED = 10_000
INSPECT_AFTER_S = 600.0

T = TypeVar("T")

log = structlog.stdlib.get_logger("zuul.Repo")


class DamagedError(Exception):
    """The repository was found broken and has been thrown away. Asking again makes a new one."""


class Repository:
    """``work`` runs calls that have the repository for themselves; ``fetch`` brings what they need.

    ``used_at`` is when it was last worked in (of ``time.monotonic``), ``published`` how many states were published
    since its refs were packed, ``private`` a folder for what is not of git.
    """

    def __init__(
        self,
        git_dir: Path,
        project: str,
        threads: Executor,
        fetch_deadline_s: float = FETCH_DEADLINE_S,
        *,
        on_loss: Callable[[], None] = lambda: None,
    ) -> None:
        """``on_loss``: what was published is gone. Raises UnsafeNameError for a name that cannot be a path."""
        self.project = project
        self.path = repository_path(git_dir, project)
        self.git = Git(self.path)
        self._refs = Refs(self.git)
        self.used_at = time.monotonic()
        self.published = 0
        self.is_awake = False  # it has processes
        name = blake2b(project.encode(errors="surrogateescape"), digest_size=16).hexdigest()
        self.private = git_dir / PRIVATE_FOLDER / "repositories" / name
        self._upstream = Upstream(project, self.path, self.private, fetch_deadline_s)
        self._bench = Workbench(self.git)
        self._threads = threads
        self._on_loss = on_loss
        self._lock = asyncio.Lock()
        self._used_before = self._checked = False
        self._inspected_at = -INSPECT_AFTER_S
        self._url: str | None = None
        self._branches: Mapping[str, str] | None = None
        self._fetched: OrderedDict[str, str] = OrderedDict()

    # --- work ---

    async def work(self, call: Callable[[Workbench], T]) -> T:
        """Run in a worker thread, as the only one here. A git that is killed meanwhile gets a second try.

        Raises what the call raises, GitError, and DamagedError where that shows that the repository is broken.
        """
        return await self._mending(lambda: self._work(call))

    async def _work(self, call: Callable[[Workbench], T]) -> T:
        async with self._lock:
            self.used_at, self.is_awake = time.monotonic(), True
            if not self._checked:
                await self._in_thread(self._take_over)
            try:
                return await self._in_thread(lambda: call(self._bench))
            except SessionEndedError as problem:
                log.info("git ended and is started again", project=self.project, reason=problem.reason)
                return await self._in_thread(lambda: call(self._bench))

    async def _in_thread(self, call: Callable[[], T]) -> T:
        """What does not end in time, or is not wanted any more, loses its processes, and so ends."""
        running = asyncio.get_running_loop().run_in_executor(self._threads, call)
        try:
            async with asyncio.timeout(LOCAL_DEADLINE_S):
                return await asyncio.shield(running)
        except (TimeoutError, asyncio.CancelledError) as problem:
            self._checked = False
            self._bench.kill()
            self._refs.kill()
            await asyncio.wait([running])
            if not running.cancelled():
                running.exception()  # that its processes ended is no news
            if isinstance(problem, TimeoutError):
                raise GitDeadlineError(("work",), LOCAL_DEADLINE_S) from None
            raise

    def publish(self, refs: Mapping[str, str]) -> None:
        """Set refs to commits, all or none. Within a call of ``work``."""
        self._refs.set(refs)
        self.published += len(refs)

    def withdraw(self, refs: Mapping[str, str], bench: Workbench) -> int:
        """Delete refs that are still what they were published as; how many. Within a call of ``work``."""
        there = [ref for ref, commit in refs.items() if self._find(bench, ref) == commit]
        self._refs.delete(there)
        return len(there)

    async def find(self, *names: str | None) -> list[str | None]:
        """The objects that names stand for; None for each that is not there, and where there is no repository."""
        return await self.work(lambda bench: [self._find(bench, name) for name in names])

    def _find(self, bench: Workbench, name: str | None) -> str | None:
        return bench.objects.find(name) if name is not None and self.path.is_dir() else None

    async def has(self, refs: Mapping[str, str]) -> bool:
        """Are all these refs there, as these commits?"""
        try:
            return await self.find(*refs) == list(refs.values())
        except (GitError, DamagedError):
            return False

    async def close(self) -> None:
        """End the processes; the next work starts them again."""
        async with self._lock:
            await self._in_thread(self._end_processes)

    def _end_processes(self) -> None:
        self.is_awake = False
        self._bench.close()
        self._refs.close()

    # --- upstream ---

    def fetched_before(self, refspec: str) -> str | None:
        """What a change's ref was when it was fetched: it never becomes another commit."""
        return self._fetched.get(refspec)

    async def fetch(self, origin: Origin, *, branches: bool, change: str | None = None) -> str | None:
        """All branches and tags, or a change's ref, or both; the change's commit, None if upstream lacks it.

        Branches and tags become what they are upstream, by force. Clones what is not there yet. Raises FetchError,
        GitError, OSError and DamagedError.
        """
        return await self._mending(lambda: self._fetch(origin, branches=branches, change=change))

    async def _fetch(self, origin: Origin, *, branches: bool, change: str | None) -> str | None:
        if not await asyncio.to_thread(self.path.is_dir):
            async with self._lock:
                await self._begin_anew()
            await self._upstream.clone(origin)
            self._on_loss()
        if self._url != origin.url:
            await self._work(lambda _: self._follow(origin))
        fetched = await self._upstream.fetch(origin, branches=branches, change=change)
        for ref, commit in fetched.changes.items():
            self._fetched[ref] = commit
            if len(self._fetched) > CHANGES_REMEMBERED:
                self._fetched.popitem(last=False)
        if fetched.branches is not None:
            await self._take_branches(origin, fetched)
        return fetched.changes.get(change) if change is not None else None

    def _follow(self, origin: Origin) -> None:
        """The origin is that of the last request (``spec/merger.md`` 6)."""
        self.git.call("config", "remote.origin.url", origin.url)
        self._url = origin.url

    async def _take_branches(self, origin: Origin, fetched: Fetched) -> None:
        head = await self._work(lambda _: self._set_branches(fetched.branches or {}))
        if head not in (fetched.branches or {}):
            wanted = await self._upstream.default_branch(origin)
            await self._work(lambda _: self._point_head([wanted] if wanted else []))

    def _set_branches(self, wanted: Mapping[str, str]) -> str:
        """Branches and tags as they are upstream, and no others. The branch that HEAD names."""
        known = self._branches if self._branches is not None else self._refs.list(BRANCHES, TAGS)
        self._branches = None
        self._refs.delete(known.keys() - wanted.keys())  # first: a branch may have become a folder of branches
        self._refs.set({ref: oid for ref, oid in wanted.items() if known.get(ref) != oid})
        self._branches = wanted
        return (self.path / "HEAD").read_text(errors="surrogateescape").removeprefix("ref: ").strip()

    # --- what is on disk ---

    def _take_over(self) -> None:
        """The first use in this process, or the first after a git was killed: tidy what others left."""
        if not self.path.is_dir():
            return
        self._end_processes()
        removed = remove_locks(self.path)
        if not self._used_before:
            removed += remove_unfinished(self.path)
        if removed:
            log.warning("removed what a killed process left behind", project=self.project, files=removed)
        configured = self.git.call("config", "--local", "--list").text.splitlines()
        for key, value in {"core.bare": "true", **SETTINGS}.items():
            if f"{key.lower()}={value}" not in configured:
                log.info("changing a setting of the repository", project=self.project, key=key, value=value)
                self.git.call("config", key, value)
        head = self.git.call("symbolic-ref", "--quiet", "HEAD", accept=range(129))  # detached, or of a broken branch
        if not head.text.startswith(BRANCHES):
            self._point_head()
        self._used_before = self._checked = True

    def _point_head(self, wanted: Iterable[str] = ()) -> None:
        """To the first wanted branch that is there, else to a usual one, else to any."""
        there = self._refs.list(BRANCHES)
        branch = next((each for each in (*wanted, *USUAL_BRANCHES, *there) if each in there), USUAL_BRANCHES[0])
        self.git.call("symbolic-ref", "HEAD", branch)

    async def _mending(self, action: Callable[[], Awaitable[T]]) -> T:
        try:
            return await action()
        except (GitError, FetchError) as problem:
            evidence = problem if isinstance(problem, GitError) else problem.__cause__
            if isinstance(evidence, GitError) and self._is_suspect(evidence, is_local=problem is evidence):
                await self._mend(evidence)
            raise

    def _is_suspect(self, evidence: GitError, *, is_local: bool) -> bool:
        """What goes wrong without anybody from outside is worth a look, though not again and again."""
        if looks_damaged(evidence):
            return True
        is_time = time.monotonic() - self._inspected_at > INSPECT_AFTER_S
        return is_local and is_time and not isinstance(evidence, GitDeadlineError)

    async def _mend(self, evidence: GitError) -> None:
        """Raises DamagedError if there was something to be mended."""
        async with self._lock:
            self._inspected_at = time.monotonic()
            there = await asyncio.to_thread(self.path.is_dir)
            if there and not await is_damaged(self.git):
                return
            if there:
                await self._discard(evidence.reason)
        raise DamagedError(f"{self.project}: {evidence.reason}") from evidence

    async def _discard(self, reason: str) -> None:
        log.error("repository is damaged: thrown away, to be cloned again", project=self.project, reason=reason)
        await self._begin_anew()
        discarded = self.private / "discarded"
        await asyncio.to_thread(clear, discarded)
        await asyncio.to_thread(move, self.path, discarded)
        await asyncio.to_thread(clear, discarded)

    async def _begin_anew(self) -> None:
        """Nothing that is known of the repository counts any more."""
        await self._in_thread(self._end_processes)
        self._checked = False
        self._url = self._branches = None
        self._fetched.clear()
