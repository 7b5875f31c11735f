"""Where branches and tags of a project stand, asked of Gerrit's git over the command connection (gerrit-wire.md 7, 10).

Git's protocol 2 is asked for, by which a server names only what is wanted; one that does not know it names all.
"""

from __future__ import annotations

import re

from ci_gate.gerrit.commands import CommandPool, NotSentError, OutcomeUnknownError
from ci_gate.gerrit.query import SAFE_VALUE, QueryFailedError

LISTING_S = 60.0
FLUSH = "0000"
DELIMITER = "0001"
PREFIXES = ("refs/heads/", "refs/tags/")
REF = re.compile(r"[0-9a-f]{4}(?P<revision>[0-9a-f]{40}) (?P<ref>refs/(?:heads|tags)/[^\0\n ]+)")


async def list_refs(pool: CommandPool, project: str) -> dict[str, str]:
    """Full names of branches and tags, and their revisions. Raises QueryFailedError."""
    if not SAFE_VALUE.fullmatch(project):
        raise QueryFailedError(f"{project!r} cannot be part of a command", transient=False)
    try:
        result = await pool.run(
            f"git-upload-pack '/{project}'",
            deadline_s=LISTING_S,
            stdin=_request().encode(),
            repeatable=True,
            environment={"GIT_PROTOCOL": "version=2"},
        )
    except (NotSentError, OutcomeUnknownError) as problem:
        raise QueryFailedError(str(problem), transient=True) from problem
    # A server that does not know protocol 2 lists everything, and then complains about what we asked.
    is_whole = result.exit_status == 0 or ("version 2" not in result.stdout and FLUSH in result.stdout[-64:])
    if not is_whole:
        text = result.stderr.strip() or f"exit status {result.exit_status}"
        raise QueryFailedError(text, transient="not found" not in text.lower())
    found = {each["ref"]: each["revision"] for each in REF.finditer(result.stdout)}
    return {ref: revision for ref, revision in found.items() if not ref.endswith("^{}")}


def _request() -> str:
    wanted = "".join(_packet(f"ref-prefix {each}\n") for each in PREFIXES)
    return _packet("command=ls-refs\n") + DELIMITER + wanted + FLUSH + FLUSH


def _packet(text: str) -> str:
    return f"{len(text.encode()) + 4:04x}{text}"
