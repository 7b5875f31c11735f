"""Each mode comes to the very tree, or the very refusal, that plain git comes to in a work tree."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from merger_world import Upstream, git, out
from random_history import History, UncleanError, merge_plainly

from ci_gate.merger.commits import Identity
from ci_gate.merger.conflict import ConflictError
from ci_gate.merger.git import Git
from ci_gate.merger.speculative import Application, Workbench, apply_change
from ci_gate.model.merge import MergeMode

IDENTITY = Identity("ci-gate", "ci-gate@localhost")
PAIRS_A_HISTORY = 6


def merge_bare(bench: Workbench, mode: MergeMode, base: str, change: str) -> str | None:
    """The tree that we make, None for a conflict."""
    try:
        commit = apply_change(bench, Application(mode, base, change, "merge\n"), IDENTITY)
    except ConflictError:
        return None
    return bench.objects.commit(commit).tree


@pytest.fixture
def bare_copy(tmp_path):
    """Makes a bare repository with the same objects, ready for merging."""
    benches = []

    def make(of: Path) -> Workbench:
        at = tmp_path / "bare.git"
        git(tmp_path, "init", "-q", "--bare", str(at))
        (at / "objects" / "info" / "alternates").write_text(f"{of / '.git' / 'objects'}\n")
        benches.append(Workbench(Git(at)))
        return benches[-1]

    yield make
    for bench in benches:
        bench.close()


@pytest.mark.parametrize("mode", list(MergeMode))
@pytest.mark.parametrize("seed", range(8))
def test_random_histories_merge_as_in_a_work_tree(tmp_path, bare_copy, seed, mode):
    history = History(tmp_path / "work", seed)
    history.grow(10)
    bench = bare_copy(history.path)
    for base, change in [*history.diverged_pairs(PAIRS_A_HISTORY), *crossed(history)]:
        with suppress(UncleanError):
            expected = merge_plainly(history.path, mode, base, change)
            assert merge_bare(bench, mode, base, change) == expected, f"{seed=} {base=} {change=}"


def crossed(history: History) -> list[tuple[str, str]]:
    """Pairs with several common ancestors, and some of what comes after."""
    pairs = [history.cross(), history.cross()]
    return [pair for each in pairs if each is not None for pair in (each, each[::-1])]


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
def test_attributes_in_the_tree_have_their_say(tmp_path, bare_copy, case, mode, side):
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
    expected = merge_plainly(upstream.path, mode, ours, theirs)
    assert merge_bare(bare_copy(upstream.path), mode, ours, theirs) == expected
