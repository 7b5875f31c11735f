"""One change on top of one commit, by the project's merge mode: ``spec/merger.md`` 4.

Called by the engine with a repository that has both commits. Knows commits and trees; neither refs nor chains.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from ci_gate.merger.commits import Commit, Identity, read_commit, write_commit
from ci_gate.merger.conflict import ConflictError
from ci_gate.merger.git import Git
from ci_gate.merger.ort import merge_ort
from ci_gate.merger.resolve import merge_resolve
from ci_gate.model.merge import MergeMode

_NOBODY = b"nobody <nobody> 0 +0000"


@dataclass(frozen=True, slots=True)
class Maker:
    """Who merges and when (seconds since the epoch): with the same two, the same merge makes the same commit."""

    identity: Identity
    made_at: float

    @property
    def line(self) -> bytes:
        return self.identity.at(self.made_at)


async def apply_change(git: Git, mode: MergeMode, base: str, change: str, *, maker: Maker, message: str) -> str:
    """The commit that has ``change`` on top of ``base``. Raises ConflictError.

    ``message`` is that of merge commits; a cherry-picked change keeps its own.
    """
    if mode is MergeMode.CHERRY_PICK:
        return await _cherry_pick(git, base, change, maker)
    ancestors = (await git.run("merge-base", "--all", base, change, accept=(0, 1))).text.split()
    if base in ancestors:
        return change
    if change in ancestors:
        return base
    if not ancestors:
        raise ConflictError("the change has no history in common with the branch")
    with TemporaryDirectory(prefix="ci-gate-merge-") as folder:
        if mode is MergeMode.MERGE_RESOLVE:
            tree = await merge_resolve(git, ancestors, base, change, Path(folder))
        else:
            tree = await merge_ort(git, base, change, Path(folder))
    merge = Commit(tree, (base, change), author=maker.line, committer=maker.line, message=message.encode())
    return await write_commit(git, merge)


async def _cherry_pick(git: Git, base: str, change: str, maker: Maker) -> str:
    picked, onto = await read_commit(git, change), await read_commit(git, base)
    if len(picked.parents) > 1:
        raise ConflictError("the change is a merge commit, which cannot be cherry-picked")
    # The base's tree as a sibling of the change: then the only common ancestor is the change's parent, which makes
    # the merge of the two a cherry-pick.
    sibling = Commit(onto.tree, picked.parents, author=_NOBODY, committer=_NOBODY, message=b"")
    with TemporaryDirectory(prefix="ci-gate-merge-") as folder:
        tree = await merge_ort(git, await write_commit(git, sibling), change, Path(folder))
    if tree == onto.tree:
        raise ConflictError("nothing is left to apply: the change is already in")
    return await write_commit(git, replace(picked, tree=tree, parents=(base,), committer=maker.line))
