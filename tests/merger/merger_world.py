"""Upstream projects made by plain git, and mergers that work on them."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ci_gate.config.settings import MergerSettings
from ci_gate.merger.local import LocalMerger
from ci_gate.model.merge import MergeAnswer, MergeMode, MergeRequest

ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": os.devnull,
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_AUTHOR_NAME": "Ann Author",
    "GIT_AUTHOR_EMAIL": "ann@example.org",
    "GIT_AUTHOR_DATE": "1700000000 +0100",
    "GIT_COMMITTER_NAME": "Carl Committer",
    "GIT_COMMITTER_EMAIL": "carl@example.org",
    "GIT_COMMITTER_DATE": "1700000100 +0100",
}
ZUUL_URL = "http://ci.example.org/p"


def git(where: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """What is not UTF-8 comes as os.fsdecode gives it."""
    return subprocess.run(
        ["git", *arguments],
        cwd=where,
        env=ENVIRONMENT,
        check=check,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=60,
    )


def out(where: Path, *arguments: str) -> str:
    return git(where, *arguments).stdout.strip()


def write_object(where: Path, kind: str, raw: bytes) -> str:
    """Any object, also one that git itself would not make; its id."""
    command = ["git", "hash-object", "-t", kind, "-w", "--literally", "--stdin"]
    done = subprocess.run(command, cwd=where, env=ENVIRONMENT, input=raw, check=True, capture_output=True, timeout=60)
    return done.stdout.decode().strip()


def fast_import(where: Path, stream: str) -> None:
    command = ["git", "fast-import", "--quiet", "--force"]
    subprocess.run(command, cwd=where, env=ENVIRONMENT, input=stream.encode(), check=True, timeout=60)


@dataclass(frozen=True)
class Change:
    project: str
    number: str
    ref: str
    commit: str


@dataclass
class Upstream:
    """One project as Gerrit has it: branches, tags and changes, made in a work tree of its own."""

    project: str
    path: Path
    changes: int = 0

    @classmethod
    def create(cls, root: Path, project: str) -> Upstream:
        """Branches ``master`` and ``stable`` at one commit, with a file of nine lines."""
        path = root / project
        path.mkdir(parents=True)
        git(path, "init", "-q", "-b", "master")
        upstream = cls(project, path)
        upstream.commit({"README": lines()}, "init")
        git(path, "branch", "stable")
        return upstream

    def commit(self, files: dict[str, str | None], message: str) -> str:
        """A commit on what is checked out; None deletes a file."""
        for name, content in files.items():
            target = self.path / name
            if content is None:
                target.unlink()
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(content)
        git(self.path, "add", "--all")
        git(self.path, "commit", "-q", "--allow-empty", "-m", message)
        return out(self.path, "rev-parse", "HEAD")

    def push(self, files: dict[str, str | None], branch: str = "master") -> str:
        """A commit that lands on a branch."""
        git(self.path, "checkout", "-q", branch)
        return self.commit(files, f"pushed to {branch}")

    def change(self, files: dict[str, str | None], *, onto: str = "master", message: str = "change") -> Change:
        """A new change, one commit on top of ``onto``."""
        git(self.path, "checkout", "-q", "--detach", onto)
        commit = self.commit(files, message)
        git(self.path, "checkout", "-q", "master")
        return self.offer(commit)

    def offer(self, commit: str) -> Change:
        """Publish a commit as a change."""
        self.changes += 1
        ref = f"refs/changes/{self.changes % 100:02}/{self.changes}/1"
        git(self.path, "update-ref", ref, commit)
        return Change(self.project, str(self.changes), ref, commit)

    def tip(self, branch: str = "master") -> str:
        return out(self.path, "rev-parse", f"refs/heads/{branch}")


def lines(**changed: str) -> str:
    """Nine lines; ``line_3="x"`` gives the third another text."""
    return "".join(changed.get(f"line_{number}", f"line {number}") + "\n" for number in range(1, 10))


@dataclass
class World:
    """Some projects upstream, and mergers, each host with a folder of its own."""

    root: Path
    mergers: list[LocalMerger] = field(default_factory=list)

    def project(self, name: str) -> Upstream:
        return Upstream.create(self.root / "upstream", name)

    def git_dir(self, host: str = "host") -> Path:
        return self.root / host

    def repository(self, project: str, host: str = "host") -> Path:
        return self.git_dir(host) / project / ".git"

    def merger(self, host: str = "host", settings: MergerSettings | None = None, **options: Any) -> LocalMerger:
        """A new merger for that host's folder, as after a restart."""
        settings = replace(settings or MergerSettings(zuul_url=ZUUL_URL), git_dir=self.git_dir(host))
        options = {"project_url": self.url, "relook_s": 0.0} | options
        self.mergers.append(LocalMerger(settings, {}, **options))
        return self.mergers[-1]

    def url(self, connection: str, project: str) -> str:
        return str(self.root / "upstream" / project)

    def refs(self, project: str, host: str = "host") -> dict[str, str]:
        """What is published: ``BRANCH/NAME`` → commit."""
        repository = self.repository(project, host)
        if not repository.exists():
            return {}
        listed = out(repository, "for-each-ref", "--format=%(refname) %(objectname)", "refs/zuul")
        return dict(line.removeprefix("refs/zuul/").split(" ") for line in listed.splitlines())

    def show(self, commit: str | None, path: str, project: str = "p1", host: str = "host") -> str:
        return git(self.repository(project, host), "show", f"{commit}:{path}").stdout


def request(change: Change, name: str, ahead: str | None = None, **fields: Any) -> MergeRequest:
    made = MergeRequest(
        ref=name,
        connection="gerrit",
        project=change.project,
        branch="master",
        refspec=change.ref,
        number=change.number,
        patchset="1",
        mode=MergeMode.MERGE_RESOLVE,
        ahead=ahead,
    )
    return replace(made, **fields)


async def merge_chain(merger: LocalMerger, *requests: MergeRequest) -> MergeAnswer:
    """Each on the one before it, as the scheduler asks; the last one's answer."""
    answers = []
    for ahead, each in zip((None, *requests), requests, strict=False):
        answers.append(await merger.merge(replace(each, ahead=ahead.ref if ahead else None)))
    return answers[-1]
