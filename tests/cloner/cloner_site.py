"""What a job sees: an upstream and a merger with real repositories, served over HTTP, and the cloner as a process."""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from ci_gate.web.git import git_routes

NAME = "Z" + "0f" * 16
ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_AUTHOR_NAME": "Ann",
    "GIT_AUTHOR_EMAIL": "ann@example.org",
    "GIT_COMMITTER_NAME": "Ann",
    "GIT_COMMITTER_EMAIL": "ann@example.org",
}


def git(where: Path, *arguments: str, check: bool = True, stdin: str | None = None) -> str:
    command = ["git", *arguments]
    done = subprocess.run(
        command, cwd=where, env=ENVIRONMENT, input=stdin, check=check, capture_output=True, text=True, timeout=60
    )
    return done.stdout.strip()


@dataclass(frozen=True)
class Ended:
    """How the cloner ended, and what it logged."""

    code: int
    log: str


@dataclass
class Site:
    """``upstream`` and ``merger`` have ``PROJECT/.git``; the server has them at ``/base`` and ``/p``."""

    folder: Path
    server: str
    variables: dict[str, str] = field(default_factory=dict)
    """Of the build, beside those of every process."""
    _texts: Iterator[int] = field(default_factory=itertools.count)

    @property
    def base(self) -> str:
        return f"{self.server}/base"

    @property
    def merger_url(self) -> str:
        return f"{self.server}/p"

    @property
    def upstream(self) -> Path:
        return self.folder / "upstream"

    @property
    def merger(self) -> Path:
        return self.folder / "merger"

    @property
    def workspace(self) -> Path:
        return self.folder / "workspace"

    # --- what there is ---

    def project(self, name: str, *branches: str) -> None:
        """Upstream gets a project; its first branch is the default one. Each branch has a file of its name."""
        repository = self.upstream / name / ".git"
        repository.mkdir(parents=True)
        git(repository, "init", "-q", "--bare", "-b", (branches or ("master",))[0])
        for branch in branches or ("master",):
            self.commit(name, branch)

    def commit(self, project: str, branch: str, *files: str) -> str:
        """A new commit on an upstream branch, which is made if need be; by default a file named for the branch."""
        return self._commit(
            self.upstream / project / ".git", f"refs/heads/{branch}", files or (f"{branch.replace('/', '-')}.txt",)
        )

    def merged(self, project: str, branch: str, name: str = NAME) -> str:
        """The merger has a state of this branch."""
        self.known_to_merger(project)
        git(self.merger / project / ".git", "update-ref", f"refs/zuul/{branch}/{name}", self.tip(project, "master"))
        return self._commit(
            self.merger / project / ".git", f"refs/zuul/{branch}/{name}", (f"merged-{branch.replace('/', '-')}",)
        )

    def known_to_merger(self, project: str) -> None:
        """The merger has the project's branches, without any state."""
        repository = self.merger / project / ".git"
        if not repository.exists():
            git(self.folder, "clone", "-q", "--bare", str(self.upstream / project / ".git"), str(repository))

    def tip(self, project: str, branch: str) -> str:
        return git(self.upstream / project / ".git", "rev-parse", f"refs/heads/{branch}")

    def _commit(self, repository: Path, ref: str, files: tuple[str, ...]) -> str:
        """On top of what the ref has; the files get a new text each time."""
        parent = git(repository, "rev-parse", "--verify", "-q", ref, check=False)
        blob = git(repository, "hash-object", "-w", "--stdin", stdin=f"{ref} {next(self._texts)}\n")
        kept = git(repository, "ls-tree", "-r", parent).splitlines() if parent else []
        lines = [line for line in kept if line.split("\t")[1] not in files]
        lines += [f"100644 blob {blob}\t{file}" for file in files]
        tree = git(repository, "mktree", stdin="\n".join(lines) + "\n")
        commit = git(repository, "commit-tree", tree, *(["-p", parent] if parent else []), "-m", f"Change {ref}")
        git(repository, "update-ref", ref, commit)
        return commit

    # --- the build and its cloner ---

    def build(self, project: str = "org/app", branch: str = "master", **more: str) -> None:
        """Jobs run for a change of this project and branch."""
        self.variables |= {
            "ZUUL_URL": self.merger_url,
            "ZUUL_PROJECT": project,
            "ZUUL_BRANCH": branch,
            "ZUUL_REF": f"refs/zuul/{branch}/{NAME}",
        } | more

    def clone(self, *arguments: str) -> Ended:
        """Run the cloner with these options and projects, in an empty folder beside everything."""
        here = self.folder / "here"
        here.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "ci_gate.cloner", "--workspace", str(self.workspace), self.base, *arguments]
        done = subprocess.run(
            command, cwd=here, env=ENVIRONMENT | self.variables, capture_output=True, text=True, timeout=60, check=False
        )
        return Ended(done.returncode, done.stdout + done.stderr)

    def prepared(self, *arguments: str) -> Ended:
        ended = self.clone(*arguments)
        assert ended.code == 0, ended.log
        return ended

    def refused(self, *arguments: str) -> str:
        """The log of a cloner that failed as a job should."""
        ended = self.clone(*arguments)
        assert ended.code == 1, ended.log
        assert "Traceback" not in ended.log
        return ended.log

    def head(self, place: str = "org/app") -> str:
        """The commit that is checked out, detached, in a working copy that is clean."""
        copy = self.workspace / place
        assert git(copy, "status", "--porcelain", "--ignored") == ""
        assert git(copy, "symbolic-ref", "-q", "HEAD", check=False) == ""
        return git(copy, "rev-parse", "HEAD")

    def origin(self, place: str = "org/app") -> str:
        return git(self.workspace / place, "config", "remote.origin.url")


@contextmanager
def serving(folder: Path, *middlewares) -> Iterator[str]:
    """Upstream and merger over HTTP, from a thread of its own; the server's URL."""
    loop = asyncio.new_event_loop()
    started: list[str] = []
    ready = threading.Event()
    stopping = asyncio.Event()

    async def serve() -> None:
        app = web.Application(middlewares=middlewares)
        app.add_routes(git_routes(folder / "upstream", "/base"))
        app.add_routes(git_routes(folder / "merger", "/p"))
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        started.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
        ready.set()
        await stopping.wait()
        await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=[serve()])
    thread.start()
    assert ready.wait(10)
    try:
        yield started[0]
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join()
        loop.close()
