"""Each mode comes to the very tree, or the very refusal, that plain git comes to in a work tree."""

from __future__ import annotations

from pathlib import Path

import pytest
from merger_world import MADE_AT, Upstream, git, out
from random_history import History, merge_plainly

from ci_gate.merger.commits import Identity
from ci_gate.merger.conflict import ConflictError
from ci_gate.merger.git import Git
from ci_gate.merger.speculative import Maker, apply_change
from ci_gate.model.merge import MergeMode

MAKER = Maker(Identity("ci-gate", "ci-gate@localhost"), MADE_AT)
PAIRS_A_HISTORY = 6


async def merge_bare(repository: Path, mode: MergeMode, base: str, change: str) -> str | None:
    """The tree that we make, None for a conflict."""
    try:
        commit = await apply_change(Git(repository), mode, base, change, maker=MAKER, message="merge\n")
    except ConflictError:
        return None
    return out(repository, "rev-parse", f"{commit}^{{tree}}")


def bare_copy(of: Path, at: Path) -> Path:
    """A bare repository with the same objects."""
    git(of.parent, "init", "-q", "--bare", str(at))
    (at / "objects" / "info" / "alternates").write_text(f"{of / '.git' / 'objects'}\n")
    return at


@pytest.mark.parametrize("mode", list(MergeMode))
@pytest.mark.parametrize("seed", range(8))
async def test_random_histories_merge_as_in_a_work_tree(tmp_path, seed, mode):
    history = History(tmp_path / "work", seed)
    history.grow(10)
    repository = bare_copy(history.path, tmp_path / "bare.git")
    for base, change in history.diverged_pairs(PAIRS_A_HISTORY):
        expected = merge_plainly(history.path, mode, base, change)
        assert await merge_bare(repository, mode, base, change) == expected, f"{seed=} {base=} {change=}"


BOTH_APPEND = ("one\n", "one\nours\n", "one\ntheirs\n")
FAR_APART = tuple("".join(f"{line}\n" for line in each) for each in ("abcdefghi", "Abcdefghi", "abcdefghI"))
CASES = {
    "union": ("log merge=union", "log", BOTH_APPEND),
    "union-in-a-folder": ("log merge=union", "sub/deep/log", BOTH_APPEND),
    "no-merge": ("log -merge", "log", FAR_APART),
    "binary": ("log binary", "log", FAR_APART),
    "text-with-crlf": ("log text", "log", tuple(each.replace("\n", "\r\n") for each in FAR_APART)),
    "auto-with-crlf": ("* text=auto", "log", tuple(each.replace("\n", "\r\n") for each in FAR_APART)),
    "crlf-in-work-trees": ("log eol=crlf", "log", FAR_APART),
    "unknown-driver": ("log merge=mine", "log", FAR_APART),
}


@pytest.mark.parametrize("mode", list(MergeMode))
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("side", ["ours", "theirs"])
async def test_attributes_in_the_tree_have_their_say(tmp_path, case, mode, side):
    attributes, name, versions = CASES[case]
    upstream = Upstream.create(tmp_path, "work")
    file = upstream.path / name
    file.parent.mkdir(parents=True, exist_ok=True)

    def commit(content: str) -> str:
        file.write_bytes(content.encode())
        return upstream.commit({}, "a version")

    def commit_attributes() -> str:
        """And nothing else: other files stay as they are stored, whatever the attributes say."""
        (file.parent / ".gitattributes").write_text(attributes + "\n")
        git(upstream.path, "add", "--", str(file.parent / ".gitattributes"))
        git(upstream.path, "commit", "-q", "-m", "attributes")
        return out(upstream.path, "rev-parse", "HEAD")

    base = commit(versions[0])
    if side == "ours":
        commit_attributes()
    ours = commit(versions[1])
    git(upstream.path, "checkout", "-q", "--detach", base)
    theirs = commit(versions[2])
    if side == "theirs":
        theirs = commit_attributes()
    repository = bare_copy(upstream.path, tmp_path / "bare.git")
    expected = merge_plainly(upstream.path, mode, ours, theirs)
    assert await merge_bare(repository, mode, ours, theirs) == expected
