"""Commit objects as git stores them, byte by byte: nothing of an author or a message gets lost. Pure.

Made without ``git commit``: there is no work tree, and the same request must make the same commit, whoever runs it
and when.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_DATE = re.compile(rb"> (-?\d+) [+-]\d+$")


@dataclass(frozen=True, slots=True)
class Commit:
    """``author`` and ``committer`` are whole identity lines: name, e-mail, seconds and time zone."""

    tree: str
    parents: tuple[str, ...]
    author: bytes
    committer: bytes
    message: bytes
    encoding: bytes | None = None

    @property
    def committed_at(self) -> int:
        """Seconds since the epoch; 0 where the date cannot be read, as for git."""
        date = _DATE.search(self.committer)
        return int(date.group(1)) if date else 0


@dataclass(frozen=True, slots=True)
class Identity:
    """Who makes merge commits."""

    name: str
    email: str

    def at(self, moment: int) -> bytes:
        """The identity line for a moment, seconds since the epoch."""
        return f"{_plain(self.name)} <{_plain(self.email)}> {moment} +0000".encode()


def _plain(text: str) -> str:
    return re.sub(r"[<>\x00-\x1f]", "", text).strip()


def parse_commit(raw: bytes) -> Commit:
    """Raises ValueError for what is no commit."""
    head, _, message = raw.partition(b"\n\n")
    headers: dict[bytes, list[bytes]] = {}
    for line in head.split(b"\n"):
        if not line.startswith(b" "):  # the following lines of a signature
            key, _, value = line.partition(b" ")
            headers.setdefault(key, []).append(value)
    try:
        return Commit(
            tree=headers[b"tree"][0].decode(),
            parents=tuple(each.decode() for each in headers.get(b"parent", ())),
            author=headers[b"author"][0],
            committer=headers[b"committer"][0],
            message=message,
            encoding=headers.get(b"encoding", [None])[0],
        )
    except KeyError as missing:
        raise ValueError(f"not a commit: it has no {missing}") from missing


def format_commit(commit: Commit) -> bytes:
    lines = [f"tree {commit.tree}".encode()]
    lines += [f"parent {each}".encode() for each in commit.parents]
    lines += [b"author " + commit.author, b"committer " + commit.committer]
    if commit.encoding is not None:
        lines.append(b"encoding " + commit.encoding)
    return b"\n".join([*lines, b"", commit.message])
