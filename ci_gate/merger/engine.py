"""Makes one speculative state and publishes it (``spec/merger.md`` 3).

Called by the mergers with a request and the record of the build set ahead. Holds one repository at a time and waits
for no other while it does, so a chain over several projects cannot deadlock. Knows neither queues nor answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import structlog

from ci_gate.config.settings import GerritSettings, MergerSettings
from ci_gate.merger.commits import Identity
from ci_gate.merger.conflict import ConflictError
from ci_gate.merger.names import UnsafeNameError, is_build_set, is_change_ref, is_ref
from ci_gate.merger.records import BranchState, Record, Records
from ci_gate.merger.repository import DamagedError, MissingRefError, Origin, Repository
from ci_gate.merger.speculative import Maker, apply_change
from ci_gate.merger.ssh import ssh_variables
from ci_gate.model.merge import MergeRequest

OWN_NAME, OWN_EMAIL = "ci-gate", "ci-gate@localhost"
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 15.0
AT_ONCE = 8

log = structlog.stdlib.get_logger("zuul.Merger")


class MissingBranchError(Exception):
    """The project has no such branch."""


class MismatchError(Exception):
    """The request contradicts what was asked before under its name, or what this merger is set up for."""


class Engine:
    """Repositories below ``settings.git_dir``.

    At most ``AT_ONCE`` repositories of one Gerrit are worked on at a time: none sees too many connections, and one
    that does not answer takes nothing from the others.
    """

    def __init__(
        self,
        settings: MergerSettings,
        gerrits: Mapping[str, GerritSettings],
        project_url: Callable[[str, str], str] | None,
        relook_s: float,
        fetch_deadline_s: float,
    ) -> None:
        self._git_dir = settings.git_dir.absolute()
        self._identity = Identity(settings.git_user_name or OWN_NAME, settings.git_user_email or OWN_EMAIL)
        self._gerrits = gerrits
        self._project_url = project_url
        self._relook_s = relook_s
        self._fetch_deadline_s = fetch_deadline_s
        self._records = Records(self._git_dir)
        self._repositories: dict[str, Repository] = {}
        self._slots: dict[str, asyncio.Semaphore] = {}

    async def recall(self, build_set: str) -> Record | None:
        return await asyncio.to_thread(self._records.load, build_set)

    async def make(self, request: MergeRequest, ahead: Record | None) -> Record:
        """The record of this merge: an earlier one's if it was made and is all there, else of a new one.

        Raises MissingRefError, MissingBranchError, MismatchError, and what repositories raise.
        """
        _check_names(request)
        earlier = await self.recall(request.ref)
        if earlier is not None:
            _check_same(earlier, request, ahead)
            if earlier.conflict or await self.is_published(earlier):
                return earlier
        record = await self._make_patiently(request, ahead, earlier)
        for project, states in record.projects().items():
            if project != request.project:
                repository = self._repository(project)
                async with repository.hold():
                    await repository.publish(_refs(states, request.ref))
        return record

    async def is_published(self, record: Record) -> bool:
        """False where a repository was lost since."""
        for project, states in record.projects().items():
            if not await self._repository(project).has(_refs(states, record.request.ref)):
                return False
        return True

    async def update(self, connection: str, project: str) -> None:
        """Bring the project's branches and tags up to date."""
        repository, origin = self._repository(project), self._origin(connection, project)
        async with repository.hold(), self._slot(connection):
            await repository.fetch(origin, branches=True)

    async def contains(self, connection: str, project: str, branch: str, revision: str) -> bool:
        """Does the branch, as it is upstream now, have this commit? Raises what repositories raise."""
        if not is_ref(branch):
            return False
        repository, origin = self._repository(project), self._origin(connection, project)
        async with repository.hold(), self._slot(connection):
            await repository.fetch(origin, branches=True)
            tip, commit = await repository.commits([f"refs/heads/{branch}^{{commit}}", f"{revision}^{{commit}}"])
            if tip is None or commit is None:
                return False
            found = await repository.git.run("merge-base", "--is-ancestor", commit, tip, accept=(0, 1))
            return found.code == 0

    async def _make_patiently(self, request: MergeRequest, ahead: Record | None, earlier: Record | None) -> Record:
        """Look again for a change that upstream does not have yet; begin again once if the repository broke."""
        repository = self._repository(request.project)
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self._relook_s
        pause = FIRST_PAUSE_S
        discarded = False
        while True:
            try:
                async with repository.hold(), self._slot(request.connection):
                    return await self._make(repository, request, ahead, earlier)
            except DamagedError:
                if discarded:
                    raise
                discarded = True
            except MissingRefError:
                if loop.time() + pause > give_up_at:
                    raise
                log.info("change not there yet", project=request.project, refspec=request.refspec, again_in_s=pause)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)

    async def _make(
        self, repository: Repository, request: MergeRequest, ahead: Record | None, earlier: Record | None
    ) -> Record:
        """Merge and publish in the request's own project. The record comes first: a repeat finds the parents."""
        below = ahead.state(request.project, request.branch) if ahead else None
        origin = self._origin(request.connection, request.project)
        change = await repository.fetch(origin, branches=below is None, change=request.refspec)
        if change is None or request.revision not in (None, change):
            raise MissingRefError(f"{request.refspec} is {change}, not {request.revision}")
        parent = below.commit if below else await _tip(repository, request, earlier)
        try:
            commit = await apply_change(
                repository.git,
                request.mode,
                parent,
                change,
                maker=Maker(self._identity, request.made_at),
                message=f"Merge {request.refspec} into {request.branch}\n",
            )
        except ConflictError as conflict:
            record = Record(request, parent, conflict=str(conflict), paths=conflict.paths)
            await asyncio.to_thread(self._records.save, record)
            return record
        own = BranchState(request.project, request.branch, commit, base=below.base if below else parent)
        others = tuple(each for each in ahead.states if each != below) if ahead else ()
        record = Record(request, parent, states=(*others, own))
        await asyncio.to_thread(self._records.save, record)
        await repository.publish(_refs(record.projects()[request.project], request.ref))
        return record

    def _repository(self, project: str) -> Repository:
        if project not in self._repositories:
            self._repositories[project] = Repository(self._git_dir, project, self._fetch_deadline_s)
        return self._repositories[project]

    def _slot(self, connection: str) -> asyncio.Semaphore:
        return self._slots.setdefault(connection, asyncio.Semaphore(AT_ONCE))

    def _origin(self, connection: str, project: str) -> Origin:
        gerrit = self._gerrits.get(connection)
        if self._project_url is not None:
            return Origin(self._project_url(connection, project), ssh_variables(gerrit) if gerrit else {})
        if gerrit is None:
            raise MismatchError(f"no Gerrit connection is called {connection}")
        return Origin(gerrit.project_url(project), ssh_variables(gerrit))


async def _tip(repository: Repository, request: MergeRequest, earlier: Record | None) -> str:
    """What a chain starts on: the commit that it was started on before, else the branch's tip upstream."""
    branch = f"refs/heads/{request.branch}"
    tip, before = await repository.commits([f"{branch}^{{commit}}", earlier.parent if earlier else branch])
    if tip is None:
        raise MissingBranchError(f"{request.project} has no branch {request.branch}")
    return (before if earlier else None) or tip


def _refs(states: tuple[BranchState, ...], build_set: str) -> dict[str, str]:
    return {each.ref(build_set): each.commit for each in states}


def _check_names(request: MergeRequest) -> None:
    if not is_build_set(request.ref):
        raise UnsafeNameError(f"{request.ref!r} cannot be the name of a build set")
    if not is_change_ref(request.refspec):
        raise UnsafeNameError(f"{request.refspec!r} is not the ref of a change")
    if not is_ref(request.branch):
        raise MissingBranchError(f"{request.branch!r} cannot be the name of a branch")


def _check_same(earlier: Record, request: MergeRequest, ahead: Record | None) -> None:
    """A published state is immutable: under its name nothing else can be asked for."""
    if earlier.request != request:
        raise MismatchError(f"{request.ref} was made for another request")
    below = ahead.state(request.project, request.branch) if ahead else None
    if below is not None and below.commit != earlier.parent:
        raise MismatchError(f"{request.ref} was made on {earlier.parent}, and is now asked for on {below.commit}")
