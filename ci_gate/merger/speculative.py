"""One change on top of one commit, by the project's merge mode: ``spec/merger.md`` 4.

Called by the engine, in a worker thread, with a repository that has both commits. Knows commits and trees; neither refs
nor chains. The same change on the same commit makes the same commit, wherever and whenever: identity and message are
given, and the date is that of the younger of the two.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ci_gate.merger.commits import Commit, Identity
from ci_gate.merger.conflict import ConflictError
from ci_gate.merger.git import Git
from ci_gate.merger.history import merge_bases
from ci_gate.merger.objects import Objects
from ci_gate.merger.ort import MergeTree, merge_ort
from ci_gate.merger.resolve import merge_resolve
from ci_gate.model.merge import MergeMode

_NOBODY = b"nobody <nobody> 0 +0000"


class Workbench:
    """What merging in one repository takes: git, the objects, and the process for git's default strategy.

    For one worker thread at a time; ``kill`` and ``close`` end the processes, which the next merge starts again.
    """

    def __init__(self, git: Git) -> None:
        self.git = git
        self.objects = Objects(git)
        self.merge_tree = MergeTree(git)

    def kill(self) -> None:
        """From any thread."""
        self.objects.kill()
        self.merge_tree.kill()

    def close(self) -> None:
        self.objects.close()
        self.merge_tree.close()


@dataclass(frozen=True, slots=True)
class Application:
    """``change`` is to be put on ``base``; both are commits. ``message`` is for merge commits.

    A cherry-picked change keeps its own message.
    """

    mode: MergeMode
    base: str
    change: str
    message: str


def apply_change(bench: Workbench, asked: Application, identity: Identity) -> str:
    """The commit that has the change on top of the base. Raises ConflictError, GitError and OSError."""
    if asked.mode is MergeMode.CHERRY_PICK:
        return _cherry_pick(bench, asked, identity)
    ancestors = merge_bases(bench.git, bench.objects, asked.base, asked.change)
    if asked.base in ancestors:
        return asked.change
    if asked.change in ancestors:
        return asked.base
    if not ancestors:
        raise ConflictError("the change has no history in common with the branch")
    objects = bench.objects
    base, change = objects.commit(asked.base), objects.commit(asked.change)
    if asked.mode is MergeMode.MERGE_RESOLVE:
        trees = [objects.commit(each).tree for each in ancestors]
        tree = merge_resolve(bench.git, objects, trees, base.tree, change.tree)
    else:
        tree = merge_ort(bench.git, objects, bench.merge_tree, asked.base, asked.change)
    merger = identity.at(_date(base, change))
    parents = (asked.base, asked.change)
    return objects.write_commit(Commit(tree, parents, merger, merger, asked.message.encode()))


def _cherry_pick(bench: Workbench, asked: Application, identity: Identity) -> str:
    objects = bench.objects
    picked, onto = objects.commit(asked.change), objects.commit(asked.base)
    if len(picked.parents) > 1:
        raise ConflictError("the change is a merge commit, which cannot be cherry-picked")
    # The base's tree as a sibling of the change: then the only common ancestor is the change's parent, which makes
    # the merge of the two a cherry-pick.
    sibling = Commit(onto.tree, picked.parents, author=_NOBODY, committer=_NOBODY, message=b"")
    tree = merge_ort(bench.git, objects, bench.merge_tree, objects.write_commit(sibling), asked.change)
    if tree == onto.tree:
        raise ConflictError("nothing is left to apply: the change is already in")
    merger = identity.at(_date(onto, picked))
    return objects.write_commit(replace(picked, tree=tree, parents=(asked.base,), committer=merger))


def _date(*commits: Commit) -> int:
    return max(each.committed_at for each in commits)
