"""Commit objects read and written as git stores them, byte by byte: nothing of an author or a message gets lost.

Written without ``git commit``: there is no work tree, and the same request must make the same commit, whoever runs
it and when.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ci_gate.merger.git import Git


@dataclass(frozen=True, slots=True)
class Commit:
    """``author`` and ``committer`` are whole identity lines: name, e-mail, seconds and time zone."""

    tree: str
    parents: tuple[str, ...]
    author: bytes
    committer: bytes
    message: bytes
    encoding: bytes | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """Who makes merge commits."""

    name: str
    email: str

    def at(self, made_at: float) -> bytes:
        """The identity line for a moment, seconds since the epoch."""
        return f"{_plain(self.name)} <{_plain(self.email)}> {int(made_at)} +0000".encode()


def _plain(text: str) -> str:
    return re.sub(r"[<>\x00-\x1f]", "", text).strip()


async def read_commit(git: Git, name: str) -> Commit:
    """Raises GitError if there is no such commit."""
    raw = (await git.run("cat-file", "commit", name)).stdout
    head, _, message = raw.partition(b"\n\n")
    headers: dict[bytes, list[bytes]] = {}
    for line in head.split(b"\n"):
        if not line.startswith(b" "):  # the following lines of a signature
            key, _, value = line.partition(b" ")
            headers.setdefault(key, []).append(value)
    return Commit(
        tree=headers[b"tree"][0].decode(),
        parents=tuple(each.decode() for each in headers.get(b"parent", ())),
        author=headers[b"author"][0],
        committer=headers[b"committer"][0],
        message=message,
        encoding=headers.get(b"encoding", [None])[0],
    )


async def write_commit(git: Git, commit: Commit) -> str:
    """Store it, give its id."""
    lines = [f"tree {commit.tree}".encode()]
    lines += [f"parent {each}".encode() for each in commit.parents]
    lines += [b"author " + commit.author, b"committer " + commit.committer]
    if commit.encoding is not None:
        lines.append(b"encoding " + commit.encoding)
    raw = b"\n".join([*lines, b"", commit.message])
    # --literally: a cherry-picked author may be one that today's git would not accept from us.
    return (await git.run("hash-object", "-t", "commit", "-w", "--stdin", "--literally", stdin=raw)).text
