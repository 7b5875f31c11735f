"""One bare repository of the simulated Gerrit, worked by the `git` command.

Called by the site, by uploads and by submits; knows no change, account or event. Branches and tags are moved by
`git update-ref`, which is strict about names and objects. Under `refs/changes` only the sandbox writes, and a
review must take a few milliseconds, so the small commits and references there are written as files, in git's own
loose format.
"""

import hashlib
import os
import shlex
import subprocess
import sys
import time
import uuid
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from ci_gate.sandbox.gerrit_values import ZERO, Commit, FileChange, Identity

TIMEOUT = 30.0
"""Seconds that one git command may take."""

RECEIVE_HOOK = Path(__file__).with_name("gerrit_receive_hook.py")

_EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
_DIFF_KINDS = {"A": "ADDED", "D": "DELETED", "R": "RENAMED", "C": "COPIED"}
_CONFIGURATION = """\
[core]
\tfsync = none
[receive]
\tprocReceiveRefs = refs
\thideRefs = refs/changes
\tautogc = false
[gc]
\tauto = 0
"""


class GitError(Exception):
    """A git command failed; the text is its standard error."""


def environment(home: Path) -> dict[str, str]:
    """An environment in which git reads no configuration but the repository's own."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C.UTF-8",
    }


class Repository:
    """A bare repository at `path`. Methods raise `GitError`; they may be called from any thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.environment = environment(path.parent)

    @classmethod
    def create(cls, path: Path, head: str) -> "Repository":
        """Make an empty repository whose HEAD names the branch `head` and whose pushes are decided by the site."""
        path.mkdir(parents=True)
        repository = cls(path)
        repository.git("init", "--quiet", "--bare", "--template=", f"--initial-branch={head}")
        with (path / "config").open("a") as configuration:
            configuration.write(_CONFIGURATION)
        hook = path / "hooks" / "proc-receive"
        hook.parent.mkdir()
        hook.write_text(f"#!/bin/sh\nexec {shlex.quote(sys.executable)} -IS {shlex.quote(str(RECEIVE_HOOK))}\n")
        hook.chmod(0o755)
        repository._write_object(b"tree", b"")
        return repository

    def git(self, *arguments: str, stdin: bytes = b"") -> bytes:
        """Run one git command in the repository and return its standard output."""
        done = subprocess.run(
            ["git", *arguments], cwd=self.path, env=self.environment, input=stdin, capture_output=True,
            timeout=TIMEOUT, check=False,
        )  # fmt: skip
        if done.returncode:
            raise GitError(f"git {' '.join(arguments)}: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout

    # -- references ------------------------------------------------------------------------------

    def head(self, ref: str) -> str:
        """The revision that a reference points to; ZERO if it does not exist."""
        loose = self.path / ref
        if loose.is_file():
            return loose.read_text().strip()
        return self._answer("rev-parse", "--verify", "--quiet", ref) or ZERO

    def update_ref(self, ref: str, revision: str) -> None:
        """Create, move or (ZERO) delete a branch or tag."""
        if revision == ZERO:
            self.git("update-ref", "-d", ref)
        else:
            self.git("update-ref", ref, revision)

    def write_change_ref(self, ref: str, revision: str) -> None:
        """Point a reference under `refs/changes` somewhere; fetchers see it when this returns."""
        path = self.path / ref
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_name(f"{path.name}.lock")
        lock.write_text(f"{revision}\n")
        lock.replace(path)

    def append_note(self, ref: str, text: str, by: Identity) -> tuple[str, str]:
        """Add an empty commit to a reference under `refs/changes`, as Gerrit keeps a change's history in `…/meta`.

        Returns the old revision (ZERO for the first) and the new one.
        """
        path = self.path / ref
        old = path.read_text().strip() if path.is_file() else ZERO
        parent = "" if old == ZERO else f"parent {old}\n"
        who = _signature(by)
        body = f"tree {_EMPTY_TREE}\n{parent}author {who}\ncommitter {who}\n\n{text}\n"
        new = self._write_object(b"commit", body.encode())
        self.write_change_ref(ref, new)
        return old, new

    def _write_object(self, kind: bytes, body: bytes) -> str:
        content = kind + b" " + str(len(body)).encode() + b"\0" + body
        name = hashlib.sha1(content, usedforsecurity=False).hexdigest()
        path = self.path / "objects" / name[:2] / name[2:]
        path.parent.mkdir(exist_ok=True)
        part = path.with_name(f"tmp_obj_{uuid.uuid4().hex}")
        part.write_bytes(zlib.compress(content, 1))
        part.replace(path)
        return name

    # -- commits ---------------------------------------------------------------------------------

    def commit(
        self,
        parent: str | None,
        message: str,
        author: Identity,
        files: Mapping[str, str | None],
        kept: Iterable[FileChange] = (),
    ) -> str:
        """Make a commit on `parent` and return its revision; no reference points to it yet.

        `files` maps a path to its content, None to delete it; `kept` are changes of another commit to take over
        first.
        """
        who = _signature(author)
        out = [
            f"commit refs/sandbox/new\nmark :1\nauthor {who}\ncommitter {who}\n".encode(),
            _data(message),
            f"from {parent}\n".encode() if parent else b"",
        ]
        for change in kept:
            if change.old_path is not None:
                out.append(f"D {change.old_path}\n".encode())
            if change.kind == "DELETED":
                out.append(f"D {change.path}\n".encode())
            elif change.blob is not None:
                out.append(f"M {change.mode} {change.blob} {change.path}\n".encode())
        for path, content in files.items():
            if content is None:
                out.append(f"D {path}\n".encode())
            else:
                out.append(f"M 100644 inline {path}\n".encode() + _data(content))
        # The branch exists only within this import: taken back before the end, it is never written.
        out.append(f"\nget-mark :1\nreset refs/sandbox/new\nfrom {ZERO}\n\ndone\n".encode())
        return self.git("fast-import", "--quiet", "--done", "--force", stdin=b"".join(out)).decode().strip()

    def merge(self, tip: str, revision: str, message: str, by: Identity) -> str | None:
        """Merge `revision` into `tip`; returns the commit, to which no reference points yet; None on a conflict."""
        tree = self._answer("merge-tree", "--write-tree", "--no-messages", tip, revision)
        if tree is None:
            return None
        who = _signature(by)
        body = f"tree {tree}\nparent {tip}\nparent {revision}\nauthor {who}\ncommitter {who}\n\n{message}\n"
        return self._write_object(b"commit", body.encode())

    def describe(self, revision: str) -> Commit:
        """Read a commit and how it differs from its parent (a merge: from the merge that git would make)."""
        out = self.git(
            "show", "--remerge-diff", "--raw", "--numstat", "-M", "-z", "--no-abbrev",
            "--format=%T%x00%P%x00%an%x00%ae%x00%B%x00", revision,
        )  # fmt: skip
        tree, parents, name, email, message, diff = out.decode(errors="replace").split("\0", 5)
        commit = Commit(revision, tree, tuple(parents.split()), Identity(name, email), message, ())
        return replace(commit, files=(*self._magic_files(commit), *_parse_diff(diff.lstrip("\0\n"))))

    def new_commits(self, revision: str) -> tuple[str, ...]:
        """The commits up to `revision` that no branch has, parents first."""
        out = self.git("rev-list", "--reverse", "--topo-order", revision, "--not", "--branches")
        return tuple(out.decode().split())

    def missing_from(self, tip: str, revision: str) -> tuple[str, ...]:
        """The commits up to `revision` that `tip` lacks, parents first."""
        return tuple(self.git("rev-list", "--reverse", "--topo-order", revision, f"^{tip}").decode().split())

    def contains(self, descendant: str, ancestor: str) -> bool:
        """Whether `ancestor` is `descendant` or comes before it."""
        return self._answer("merge-base", "--is-ancestor", ancestor, descendant) is not None

    def patch_id(self, revision: str) -> str:
        """A name for what a commit changes, the same wherever it is put."""
        patch = self.git("diff-tree", "--root", "-p", revision)
        return self.git("patch-id", "--stable", stdin=patch).decode().split(" ")[0]

    def _magic_files(self, commit: Commit) -> list[FileChange]:
        """`/COMMIT_MSG` holds a line for each parent, four on people and times, a blank one and the message."""
        header = 5 + len(commit.parents)
        lines = len(commit.message.splitlines())
        files = [FileChange("/COMMIT_MSG", "ADDED", header + lines, 0)]
        if len(commit.parents) > 1:
            merged = self.missing_from(commit.parents[0], commit.parents[1])
            files.append(FileChange("/MERGE_LIST", "ADDED", 2 + len(merged), 0))
        return files

    def _answer(self, *arguments: str) -> str | None:
        """The output of a command that says no by exit code 1, which gives None."""
        done = subprocess.run(
            ["git", *arguments], cwd=self.path, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True,
            timeout=TIMEOUT, check=False,
        )  # fmt: skip
        if done.returncode > 1:
            raise GitError(f"git {' '.join(arguments)}: {done.stderr.decode(errors='replace').strip()}")
        return None if done.returncode else done.stdout.decode().strip()


def _signature(who: Identity) -> str:
    return f"{who.name} <{who.email}> {int(time.time())} +0000"


def _data(text: str) -> bytes:
    content = text.encode()
    return f"data {len(content)}\n".encode() + content + b"\n"


def _parse_diff(diff: str) -> list[FileChange]:
    """Read NUL-separated `--raw` entries, then `--numstat` ones, of `git show -z`."""
    fields = iter(diff.split("\0"))
    raw: dict[str, FileChange] = {}
    files = []
    for entry in fields:
        if entry.startswith(":"):
            _, mode, _, blob, status = entry.split(" ")
            path, old_path = next(fields), None
            if status[0] in "RC":
                old_path, path = path, next(fields)
            kind = _DIFF_KINDS.get(status[0], "MODIFIED")
            raw[path] = FileChange(path, kind, 0, 0, old_path, None if kind == "DELETED" else blob, mode)
        elif entry:
            inserted, deleted, path = entry.split("\t", 2)
            if not path:
                next(fields)
                path = next(fields)
            # A binary file counts as `-`; deletions are told as a negative number.
            counts = (int(inserted), -int(deleted)) if inserted != "-" else (0, 0)
            files.append(replace(raw[path], insertions=counts[0], deletions=counts[1]))
    return sorted(files, key=lambda file: file.path)
