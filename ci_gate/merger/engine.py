"""Makes one speculative state and publishes it (``spec/merger.md`` 3).

Called by the mergers with a request and what it needs of the build set ahead. Holds one repository at a time and waits
for no other while it does, so a chain over several projects cannot deadlock. Knows neither queues nor answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import structlog

from ci_gate.config.settings import GerritSettings, MergerSettings
from ci_gate.merger.commits import Identity
from ci_gate.merger.conflict import ConflictError
from ci_gate.merger.history import merge_bases
from ci_gate.merger.http import http_settings
from ci_gate.merger.made import MadeBefore
from ci_gate.merger.names import (
    PRIVATE_FOLDER,
    UnsafeNameError,
    is_build_set,
    is_change_ref,
    is_object_id,
    is_ref,
    published_ref,
)
from ci_gate.merger.objects import MissingObjectError
from ci_gate.merger.records import BranchState, Record, Records
from ci_gate.merger.refs import BRANCHES
from ci_gate.merger.repository import DamagedError, Repository
from ci_gate.merger.speculative import Application, Workbench
from ci_gate.merger.ssh import ssh_variables
from ci_gate.merger.upstream import MissingRefError, Origin
from ci_gate.model.merge import MergeRequest, UpdateRequest

OWN_NAME, OWN_EMAIL = "ci-gate", "ci-gate@localhost"
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 15.0
FETCHES_AT_ONCE, CLONES_AT_ONCE = 8, 2  # of one Gerrit
MOST_THREADS = 8

RecallAhead = Callable[[], Awaitable[Record | None]]

log = structlog.stdlib.get_logger("zuul.Merger")


class MissingBranchError(Exception):
    """The project has no such branch."""


class MismatchError(Exception):
    """The request contradicts what was asked before under its name, or what this merger is set up for."""


@dataclass(frozen=True, slots=True)
class Made:
    """``tip`` is where the branch stands upstream, if it was looked at for this merge."""

    record: Record
    tip: str | None = None


@dataclass(frozen=True, slots=True)
class _Here:
    """What a repository has of what a request names; None for what it has not.

    ``is_fresh``: its branches need no look upstream, as far as the request says.
    """

    change: str | None
    published: str | None
    is_fresh: bool


class Engine:
    """Repositories below ``settings.git_dir``; ``repositories`` are those that were asked for, by project.

    ``on_loss`` hears of each project whose repository was lost, with all that was published in it.

    At most ``FETCHES_AT_ONCE`` projects of one Gerrit are fetched at a time: none sees too many connections, and one
    that does not answer takes nothing from the others.
    """

    def __init__(
        self,
        settings: MergerSettings,
        gerrits: Mapping[str, GerritSettings],
        *,
        project_url: Callable[[str, str], str] | None,
        relook_s: float,
        fetch_deadline_s: float,
        on_loss: Callable[[str], None],
    ) -> None:
        self._git_dir = settings.git_dir.absolute()
        self._gerrits = gerrits
        self._project_url = project_url
        self._relook_s = relook_s
        self._fetch_deadline_s = fetch_deadline_s
        self._on_loss = on_loss
        self.records = Records(self._git_dir / PRIVATE_FOLDER / "states")
        identity = Identity(settings.git_user_name or OWN_NAME, settings.git_user_email or OWN_EMAIL)
        self._made = MadeBefore(identity)
        self.threads = ThreadPoolExecutor(MOST_THREADS, "merge")
        self.repositories: dict[str, Repository] = {}
        self._slots: dict[str, tuple[asyncio.Semaphore, asyncio.Semaphore]] = {}

    async def close(self) -> None:
        """End every process. Nothing may be under way."""
        while self.repositories:
            _, repository = self.repositories.popitem()
            await repository.close()
        self.threads.shutdown()

    async def recall(self, build_set: str) -> Record | None:
        return await asyncio.get_running_loop().run_in_executor(self.threads, self.records.load, build_set)

    async def begin_of(self, chain: Sequence[MergeRequest]) -> int:
        """From where on a chain is still to be merged: what is before stands, and counts as it was made."""
        look = partial(_last_recorded, self.records, chain)
        index, record = await asyncio.get_running_loop().run_in_executor(self.threads, look)
        return index + 1 if record is not None and await self.is_published(record) else 0

    async def make(self, request: MergeRequest, recall_ahead: RecallAhead) -> Made:
        """The record of this merge: an earlier one's if it was made and is all there, else of a new one.

        Raises MissingRefError, MissingBranchError, MismatchError, and what ``recall_ahead`` and repositories raise.
        """
        _check_names(request)
        earlier = await self.recall(request.ref)
        if earlier is not None:
            _check_same(earlier, request, await recall_ahead())
            if earlier.conflict or await self.is_published(earlier):
                return Made(earlier)
        try:
            made = await self._make(request, recall_ahead, earlier)
        except DamagedError as problem:
            log.info("begins again with a new repository", project=request.project, reason=str(problem))
            made = await self._make(request, recall_ahead, earlier)
        for project, states in made.record.projects().items():
            if project != request.project:
                repository = self.repository(project)
                await repository.work(partial(_publish, repository, _refs(states, request.ref)))
        return made

    async def is_published(self, record: Record) -> bool:
        """False where a repository was lost since."""
        for project, states in record.projects().items():
            if not await self.repository(project).has(_refs(states, record.request.ref)):
                return False
        return True

    async def of_use(self, project: str, since: float) -> list[MergeRequest]:
        """The requests whose states in a project were of use after a moment, in seconds since the epoch."""
        look = partial(_recorded_in, self.records, project, since)
        return await asyncio.get_running_loop().run_in_executor(self.threads, look)

    async def update(self, request: UpdateRequest) -> None:
        """Bring the project's branches and tags up to date."""
        origin = self._origin(request.connection, request.project, request.url)
        await self.repository(request.project).fetch(origin, branches=True)

    async def contains(self, request: UpdateRequest, branch: str, revision: str) -> bool:
        """Does the branch, as it is upstream now, have this commit? Raises what repositories raise."""
        if not is_ref(branch):
            return False
        await self.update(request)
        repository = self.repository(request.project)
        tip, commit = await repository.find(f"{BRANCHES}{branch}^{{commit}}", f"{revision}^{{commit}}")
        if tip is None or commit is None:
            return False
        return await repository.work(lambda bench: commit in merge_bases(bench.git, bench.objects, tip, commit))

    async def has_content(self, request: UpdateRequest, branch: str, commit: str) -> bool:
        """Has the branch the very files of a commit, as far as it is known here?"""
        if not is_ref(branch):
            return False
        trees = await self.repository(request.project).find(f"{BRANCHES}{branch}^{{tree}}", f"{commit}^{{tree}}")
        return None not in trees and len(set(trees)) == 1

    # --- one merge ---

    async def _make(self, request: MergeRequest, recall_ahead: RecallAhead, earlier: Record | None) -> Made:
        """Merge and publish in the request's own project."""
        repository = self.repository(request.project)
        origin = self._origin(request.connection, request.project, request.url)
        here = await _look(repository, request)
        if here.published is not None and earlier is None:
            record = _begun(request, await recall_ahead())
            return Made(await repository.work(partial(self._adopt, record, here.published)))
        change, is_fresh = await self._obtain(repository, origin, request, here)
        record = _begun(request, await recall_ahead())
        below = record.state(request.project, request.branch)
        if below is None and not is_fresh:
            await repository.fetch(origin, branches=True)
        parent, tip = (below.commit, None) if below else await _start(repository, request, earlier)
        merge = partial(self._merge, repository, replace(record, parent=parent), change)
        try:
            merged = await repository.work(merge)
        except MissingObjectError:
            # A fetch that was cut off may have left a commit without all that belongs to it.
            await repository.fetch(origin, branches=True, change=request.refspec)
            merged = await repository.work(merge)
        return Made(merged, None if here.is_fresh else tip)

    async def _obtain(
        self, repository: Repository, origin: Origin, request: MergeRequest, here: _Here
    ) -> tuple[str, bool]:
        """The change's commit, and whether the branches are as they are upstream; both over one connection.

        A change that upstream does not have is looked for again, for a while.
        """
        branches = request.ahead is None and not here.is_fresh
        if here.change is not None:
            if branches:
                await repository.fetch(origin, branches=True)
            return here.change, here.is_fresh or branches
        loop = asyncio.get_running_loop()
        give_up_at, pause = loop.time() + self._relook_s, FIRST_PAUSE_S
        while True:
            change = await repository.fetch(origin, branches=branches, change=request.refspec)
            if change is not None and request.revision in (None, change):
                return change, here.is_fresh or branches
            if loop.time() + pause > give_up_at:
                found = "is not there" if change is None else f"is {change}, not {request.revision}"
                raise MissingRefError(f"{request.refspec} of {request.project} {found}")
            log.info("change not there yet", project=request.project, refspec=request.refspec, again_in_s=pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    # --- in the repository's worker thread ---

    def _merge(self, repository: Repository, record: Record, change: str, bench: Workbench) -> Record:
        """The record comes first: a repeat finds the parent there."""
        request = record.request
        message = f"Merge {request.refspec} into {request.branch}\n"
        try:
            commit = self._made.apply(bench, Application(request.mode, record.parent, change, message))
        except ConflictError as conflict:
            record = replace(record, states=(), conflict=str(conflict), paths=conflict.paths)
            self.records.save(record)
            return record
        record = _ended(record, commit)
        self.records.save(record)
        _publish(repository, _refs(record.projects()[request.project], request.ref), bench)
        return record

    def _adopt(self, record: Record, commit: str, bench: Workbench) -> Record:
        """What another merger published here under the name counts, if it stands on what it should."""
        below = record.state(record.request.project, record.request.branch)
        if below is not None and below.commit not in merge_bases(bench.git, bench.objects, commit, below.commit):
            raise MismatchError(f"{record.request.ref} is there as {commit}, which does not stand on {below.commit}")
        record = _ended(record, commit)
        self.records.save(record)
        return record

    # --- where things are ---

    def repository(self, project: str) -> Repository:
        """Raises UnsafeNameError."""
        if project not in self.repositories:
            self.repositories[project] = Repository(
                self._git_dir, project, self.threads, self._fetch_deadline_s, on_loss=lambda: self._on_loss(project)
            )
        return self.repositories[project]

    def _origin(self, connection: str, project: str, given_url: str | None) -> Origin:
        gerrit = self._gerrits.get(connection)
        if given_url:
            url = given_url
        elif self._project_url is not None:
            url = self._project_url(connection, project)
        elif gerrit is not None:
            url = gerrit.project_url(project)
        else:
            raise MismatchError(f"{project} has no URL, and no Gerrit connection is called {connection}")
        if connection not in self._slots:
            self._slots[connection] = (asyncio.Semaphore(FETCHES_AT_ONCE), asyncio.Semaphore(CLONES_AT_ONCE))
        if gerrit is None:
            return Origin(url, {}, {}, *self._slots[connection])
        return Origin(url, ssh_variables(gerrit), http_settings(gerrit), *self._slots[connection])


def _last_recorded(records: Records, chain: Sequence[MergeRequest]) -> tuple[int, Record | None]:
    """The last but one of a chain, or one before it: that is what the rest stands on."""
    for index in range(len(chain) - 2, -1, -1):
        record = records.load(chain[index].ref)
        if record is not None and record.request == chain[index]:
            return index, record
    return -1, None


def _recorded_in(records: Records, project: str, since: float) -> list[MergeRequest]:
    found = [records.read(build_set) for build_set in records.used_since(since)]
    return [each.request for each in found if each is not None and project in each.projects()]


async def _look(repository: Repository, request: MergeRequest) -> _Here:
    change = request.revision or repository.fetched_before(request.refspec)
    tip, name = f"{BRANCHES}{request.branch}", published_ref(request.branch, request.ref)
    there, at, base, published = await repository.find(change, tip, request.base, name)
    return _Here(there, published, is_fresh=base is not None or (at is not None and at == request.tip))


async def _start(repository: Repository, request: MergeRequest, earlier: Record | None) -> tuple[str, str]:
    """What a chain starts on: the commit that it was started on before, else the branch's tip; and that tip."""
    wanted = earlier.parent if earlier else request.base
    tip, before = await repository.find(f"{BRANCHES}{request.branch}^{{commit}}", wanted)
    if tip is None:
        raise MissingBranchError(f"{request.project} has no branch {request.branch}")
    return before or tip, tip


def _begun(request: MergeRequest, ahead: Record | None) -> Record:
    """The record of a request with what it takes over from the chain ahead, of the members that are still in it."""
    if ahead is None:
        return Record(request, parent="")
    position = ahead.position + 1
    first = position - request.depth + 1 if request.depth is not None else 1
    return Record(request, "", position, tuple(each for each in ahead.states if each.position >= first))


def _ended(record: Record, commit: str) -> Record:
    """With the state that the change itself made."""
    request = record.request
    below = record.state(request.project, request.branch)
    base = below.base if below else record.parent
    own = BranchState(request.project, request.branch, commit, base, record.position)
    return replace(record, states=(*(each for each in record.states if each != below), own))


def _publish(repository: Repository, refs: Mapping[str, str], _: Workbench) -> None:
    repository.publish(refs)


def _refs(states: tuple[BranchState, ...], build_set: str) -> dict[str, str]:
    return {each.ref(build_set): each.commit for each in states}


def _check_names(request: MergeRequest) -> None:
    if not is_build_set(request.ref):
        raise UnsafeNameError(f"{request.ref!r} cannot be the name of a build set")
    if not is_change_ref(request.refspec):
        raise UnsafeNameError(f"{request.refspec!r} is not the ref of a change")
    for commit in (request.revision, request.base):
        if commit is not None and not is_object_id(commit):
            raise UnsafeNameError(f"{commit!r} is not the id of a commit")
    if not is_ref(request.branch):
        raise MissingBranchError(f"{request.branch!r} cannot be the name of a branch")


def _check_same(earlier: Record, request: MergeRequest, ahead: Record | None) -> None:
    """A published state is immutable: under its name nothing else can be asked for."""
    if earlier.request != request:
        raise MismatchError(f"{request.ref} was made for another request")
    below = _begun(request, ahead).state(request.project, request.branch)
    if below is not None and below.commit != earlier.parent:
        raise MismatchError(f"{request.ref} was made on {earlier.parent}, and is now asked for on {below.commit}")
