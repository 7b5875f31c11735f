"""One project: its copy got or brought up to date, and the commit found that is to be checked out.

Nothing is checked out here, so that several projects can be worked on at once: ``workspace`` does that, in order. The
rule that matters most: only when the merger was reached and has not got a ref, the next one is tried. A job that tests
the plain branch because the merger was away would vouch for a change that it never saw.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

from ci_gate.cloner.destinations import Destination
from ci_gate.cloner.errors import ClonerError
from ci_gate.cloner.git import Git, GitError, MissingRefError, MissingRepositoryError, without_password
from ci_gate.cloner.refs import comes_from_merger, ref_for, wanted_branch
from ci_gate.cloner.request import Request

_USUAL_BRANCH = "master"
_BRANCHES = "+refs/heads/*:refs/remotes/origin/*"
_ANY_OWNER = "git -c 'safe.directory=*' upload-pack"


@dataclass(frozen=True, slots=True)
class Obtained:
    """A repository in ``folder`` (with ``.git``), which has ``commit``; ``what`` tells people what that is."""

    destination: Destination
    folder: Path
    commit: str
    what: str


class Project:
    """``scratch`` is where a copy that is not there yet is made."""

    def __init__(
        self, request: Request, destination: Destination, scratch: Path, git: Git, log: logging.Logger
    ) -> None:
        self._request = request
        self._name = destination.project
        self._destination = destination
        self._exists = (destination.path / ".git").exists()
        self._folder = destination.path if self._exists else scratch
        self._git = git
        self._log = log

    def obtain(self) -> Obtained:
        """Raises ClonerError."""
        if self._exists:
            self._log.info("%s is there: kept", self._destination.path)
            self._renew()
        else:
            self._clone()
        if self._request.zuul_newrev and self._name == self._request.zuul_project:
            return self._exactly(self._request.zuul_newrev)
        return self._merged_state() or self._tip()

    # --- the copy ---

    def _clone(self) -> None:
        cached = self._cached()
        if cached is not None:
            try:
                self._log.info("cloning from the cache, %s", cached)
                self._git.run(self._log, *self._clone_command(cached.as_uri(), f"--upload-pack={_ANY_OWNER}"))
            except GitError as problem:
                self._log.warning("the cache is of no use: %s", problem)
            else:
                self._git.run(self._log, "remote", "set-url", "origin", self._upstream, folder=self._folder)
                self._renew()
                return
        self._log.info("cloning from %s", without_password(self._upstream))
        try:
            self._git.reach(self._log, *self._clone_command(self._upstream))
        except GitError as problem:
            raise ClonerError(f"cannot clone {without_password(self._upstream)}: {problem.reason}") from problem

    def _clone_command(self, url: str, *options: str) -> list[str]:
        return ["clone", "--quiet", "--no-checkout", "--origin=origin", *options, "--", url, str(self._folder)]

    def _cached(self) -> Path | None:
        """The cache's repository of this project; a folder may be there only for another project inside it."""
        if self._request.cache_dir is None:
            return None
        path = self._request.cache_dir / self._name
        is_repository = (path / ".git").exists() or ((path / "HEAD").is_file() and (path / "objects").is_dir())
        return path if is_repository else None

    def _renew(self) -> None:
        """Branches and tags as they are upstream now."""
        options = ("--quiet", "--prune", "--tags", "--force")
        try:
            self._git.reach(self._log, "fetch", *options, "origin", _BRANCHES, folder=self._folder)
        except GitError as problem:
            advice = f"; the copy was here before: remove {self._folder} to have it cloned anew" if self._exists else ""
            raise ClonerError(f"cannot bring branches and tags up to date: {problem.reason}{advice}") from problem

    # --- the commit ---

    def _exactly(self, revision: str) -> Obtained:
        """A revision that a ref of this project was updated to, or nothing."""
        self._log.info("wanted is exactly revision %s, for ZUUL_NEWREV is given", revision)
        ref = self._request.zuul_ref
        if ref:
            try:
                self._fetch(ref)
            except GitError as problem:
                raise ClonerError(
                    f"cannot fetch {ref}, which should have revision {revision}: {problem.reason}"
                ) from problem
        try:
            commit = self._run("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
        except GitError as problem:
            raise ClonerError(
                f"revision {revision} is neither in upstream's branches and tags nor in {ref}"
            ) from problem
        return self._found(commit, f"revision {revision}")

    def _merged_state(self) -> Obtained | None:
        """What the merger has for the wanted branch, else for the branch to fall back to; None if it has neither."""
        if self._request.zuul_ref and not wanted_branch(self._request, self._name):
            self._log.warning("ZUUL_REF is given, but no branch to tell which state of it is wanted")
        for ref in self._refs():
            url = self._url_of(ref)
            try:
                commit = self._fetch(ref)
            except MissingRefError:
                self._log.info("%s has no %s", without_password(url), ref)
            except MissingRepositoryError as problem:
                self._check_merger(url, problem)
                self._log.info("%s is not there: the merger was never asked for it", without_password(url))
            else:
                return self._found(commit, f"{ref} from {without_password(url)}")
            if ref == self._request.zuul_ref and self._name == self._request.zuul_project:
                self._log.warning("the change under test is of this project, but its merged state is gone")
        return None

    def _refs(self) -> Iterator[str]:
        """What to try at the merger, in this order."""
        first = ref_for(self._request, wanted_branch(self._request, self._name))
        if first:
            yield first
        if self._request.zuul_branch:
            second = ref_for(self._request, self._branch)
            if second and second != first:
                yield second

    def _tip(self) -> Obtained:
        commit = self._commit_of(self._branch)
        if commit is None:
            raise ClonerError(f"upstream has no branch {self._branch}, so there is nothing to check out")
        return self._found(commit, f"the tip of {self._branch} upstream")

    @cached_property
    def _branch(self) -> str:
        """The wanted branch if upstream has it, else master, else upstream's default branch."""
        wanted = wanted_branch(self._request, self._name)
        if wanted and self._commit_of(wanted):
            return wanted
        other = _USUAL_BRANCH if self._commit_of(_USUAL_BRANCH) else self._default_branch()
        if wanted and other != wanted:
            self._log.info("upstream has no branch %s: falling back to %s", wanted, other)
        return other

    def _default_branch(self) -> str:
        told = self._git.reach(self._log, "ls-remote", "--symref", "origin", "HEAD", folder=self._folder)
        heads = [line.split("\t")[0].removeprefix("ref: refs/heads/") for line in told.splitlines() if "ref: " in line]
        return heads[0] if heads else _USUAL_BRANCH

    def _commit_of(self, branch: str) -> str | None:
        try:
            return self._run("rev-parse", "--verify", "--quiet", f"refs/remotes/origin/{branch}^{{commit}}")
        except GitError:
            return None

    # --- where it comes from ---

    @property
    def _upstream(self) -> str:
        if self._name == self._request.zuul_project and self._request.zuul_url:
            return _join(self._request.zuul_url, self._name)
        return _join(self._request.base_url, self._name)

    def _url_of(self, ref: str) -> str:
        merger = self._request.zuul_url if comes_from_merger(self._request, self._name, ref) else None
        return _join(merger or self._request.base_url, self._name)

    def _fetch(self, ref: str) -> str:
        """The ref's commit. Raises MissingRefError, MissingRepositoryError, ClonerError for all other trouble."""
        url = self._url_of(ref)
        shown = without_password(url)
        self._log.info("trying %s from %s", ref, shown)
        try:
            self._git.reach(self._log, "fetch", "--quiet", "--no-tags", "--", url, ref, folder=self._folder)
        except (MissingRefError, MissingRepositoryError):
            raise
        except GitError as problem:
            substitute = "the plain branch is no substitute, for it may lack the change under test"
            raise ClonerError(f"cannot fetch {ref} from {shown}: {problem.reason}; {substitute}") from problem
        return self._run("rev-parse", "--verify", "FETCH_HEAD^{commit}")

    def _check_merger(self, url: str, problem: MissingRepositoryError) -> None:
        """A merger has only what it was asked for; but the project of the change it must have, or it is no merger.

        Raises ClonerError.
        """
        merger, known = self._request.zuul_url, self._request.zuul_project
        if not merger or url != _join(merger, self._name):
            raise ClonerError(f"cannot fetch from {without_password(url)}: {problem.reason}") from problem
        if not known:
            advice = "give --zuul-project too, to tell a project that the merger was never asked for from a wrong URL"
            raise ClonerError(f"{without_password(url)} is not there: {problem.reason}; {advice}") from problem
        try:
            self._git.reach(self._log, "ls-remote", "--quiet", "--", _join(merger, known), "HEAD")
        except GitError as worse:
            place = without_password(merger)
            raise ClonerError(f"{place} has not even {known}: {worse.reason}; is it the right ZUUL_URL?") from worse

    def _found(self, commit: str, what: str) -> Obtained:
        return Obtained(self._destination, self._folder, commit, what)

    def _run(self, *arguments: str) -> str:
        return self._git.run(self._log, *arguments, folder=self._folder)


def _join(base: str, project: str) -> str:
    """In URLs a name is escaped where it has to be; paths and ``host:path`` take it as it is."""
    return f"{base}/{quote(project, safe='/+@~') if '://' in base else project}"
