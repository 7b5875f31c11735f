"""One Gerrit, whichever way the service goes to it: what is checked in the same way, its projects and git."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

from ci_gate.config.nearest import nearest
from ci_gate.config.settings import GerritSettings
from ci_gate.doctor.check import Finding, Step, UnansweredError, counted, good, not_tried, some, unknown, wrong
from ci_gate.doctor.running import Once
from ci_gate.doctor.site import Site
from ci_gate.doctor.web import Web
from ci_gate.merger.git import Git, GitError

ANSWER_S = 8.0
OF_GERRIT_ITSELF = frozenset({"All-Projects", "All-Users"})


class Gerrit(ABC):
    """One connection. ``user`` is who looks; ``visible`` are the projects that there are for it, and it and ``version``
    raise UnansweredError. ``close`` it in the end.
    """

    def __init__(self, site: Site, settings: GerritSettings) -> None:
        self.site = site
        self.given = settings
        self.user = settings.user
        self.web = Web(settings)
        self.scratch = Path(tempfile.mkdtemp(prefix="ci-gate-doctor-"))
        self.version = Once(self._version)
        self.visible = Once(self._visible)

    @property
    def group(self) -> str:
        return f"Gerrit {self.given.name}" if self.given.name != "gerrit" else "Gerrit"

    @property
    def section(self) -> str:
        """Of the configuration file."""
        return self.given.name if self.given.name == "gerrit" else f"connection {self.given.name}"

    @property
    def reporter(self) -> str:
        """Who votes: with a password that is who it belongs to."""
        return self.given.user if self.given.password is None else self.web.user

    def steps(self) -> Iterator[Step]:
        """After ``account``, which has to be one of them."""
        yield Step(self.group, "projects", self._projects, ("account", "This machine/layout"))
        yield Step(self.group, "git", self._fetch, ("account", "This machine/git"))

    async def close(self) -> None:
        await self.web.close()
        await asyncio.to_thread(shutil.rmtree, self.scratch, ignore_errors=True)

    @abstractmethod
    async def _version(self) -> str: ...

    @abstractmethod
    async def _visible(self) -> list[str]: ...

    @abstractmethod
    def _git(self, git: Git) -> Git:
        """As mergers have it for this Gerrit."""

    def _as_configured(self, text: str) -> str:
        """What a tool says, with the operator's names in it."""
        return text

    async def _projects(self) -> Finding:
        wanted = self.site.projects(self.given.name)
        if not wanted:
            return good("the layout has no project for this connection")
        try:
            visible = set(await self.visible())
        except UnansweredError as problem:
            return unknown(f"Gerrit does not list its projects: {problem}")
        missing = [each for each in wanted if each not in visible]
        if not missing:
            return good(f"{self.user} sees all projects of the layout ({len(wanted):,})")
        meant = nearest(missing[0], visible)
        return wrong(
            f"{self.user} sees {len(wanted) - len(missing)} of {counted(len(wanted), 'project')} of the layout;"
            f" not in Gerrit, or not to be read: {some(missing)}",
            (f'did you mean "{meant}"? Otherwise ' if meant else "")
            + f"make it in Gerrit, or give a group of {self.user} Read on refs/* there",
            items=missing,
        )

    async def _fetch(self) -> Finding | None:
        if not self.site.settings.merger.embedded:
            return None
        try:
            visible = await self.visible()
        except UnansweredError as problem:
            return unknown(f"Gerrit does not list its projects: {problem}")
        wanted = set(self.site.projects(self.given.name))
        project = next((each for each in visible if each in wanted), None)
        project = project or next((each for each in visible if each not in OF_GERRIT_ITSELF), None)
        if project is None:
            return not_tried(f"{self.user} sees no project that could be fetched")
        git, url = self._git(Git(folder=self.scratch)), self.given.project_url(project)
        try:
            told = await git.run("ls-remote", "--", url, "refs/heads/*", deadline_s=ANSWER_S)
        except (GitError, OSError) as problem:
            reason = problem.reason if isinstance(problem, GitError) else problem
            return wrong(
                f"git cannot fetch {project}: {self._as_configured(str(reason))}",
                f"try it as this user: git ls-remote {url}",
            )
        return good(f"{project} can be fetched ({len(told.stdout.splitlines()):,} branches)")
