"""A repository's refs: set and deleted in transactions, through one ``git update-ref`` that stays.

For one worker thread at a time. No transaction looks at refs that it does not name, however many there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ci_gate.merger.git import Git
from ci_gate.merger.sessions import Session

PUBLISHED = "refs/zuul/"
BRANCHES, TAGS = "refs/heads/", "refs/tags/"


class Refs:
    """Each change of refs is made as a whole, or not at all. Raises GitError."""

    def __init__(self, git: Git) -> None:
        self._git = git
        self._session = Session(git, "update-ref", "--stdin", "-z")

    def set(self, refs: Mapping[str, str]) -> None:
        """Refs to ids, whatever they were before."""
        self._commit(f"update {ref}\0{oid}\0\0" for ref, oid in refs.items())

    def delete(self, refs: Iterable[str]) -> None:
        self._commit(f"delete {ref}\0\0" for ref in refs)

    def list(self, *prefixes: str) -> dict[str, str]:
        """All refs below some prefixes with their ids. Takes a process."""
        listed = self._git.call("for-each-ref", "--format=%(objectname) %(refname)", *prefixes)
        lines = listed.stdout.decode(errors="surrogateescape").splitlines()
        return {ref: oid for oid, _, ref in (line.partition(" ") for line in lines)}

    def kill(self) -> None:
        self._session.kill()

    def close(self) -> None:
        self._session.close()

    def _commit(self, changes: Iterable[str]) -> None:
        told = "".join(changes)
        if not told:
            return
        self._session.send(f"start\0{told}prepare\0commit\0".encode(errors="surrogateescape"))
        while self._session.until(b"\n") != b"commit: ok":
            pass
