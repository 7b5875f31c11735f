"""Changes of every odd kind have a clear outcome, the one that plain git comes to (merger.md 4 and 8)."""

from __future__ import annotations

import os

import pytest
from merger_world import fast_import, git, lines, merge_chain, out, request, write_object

from ci_gate.merger.git import Git
from ci_gate.merger.history import merge_bases
from ci_gate.merger.speculative import Workbench
from ci_gate.model.merge import MergeMode, MergeOutcome

MERGE, RESOLVE, PICK = MergeMode.MERGE, MergeMode.MERGE_RESOLVE, MergeMode.CHERRY_PICK
CONFLICT, MERGED = MergeOutcome.CONFLICT, MergeOutcome.MERGED
ALL_MODES = pytest.mark.parametrize("mode", list(MergeMode))


@pytest.fixture
def upstream(world):
    return world.project("p1")


def commit(upstream, files: dict[bytes, bytes | str], *, onto: str = "master", submodule: str = "") -> str:
    """A commit on another: files by their raw names, texts are targets of symlinks; ``sub`` may be a submodule."""
    git(upstream.path, "checkout", "-q", "--force", "--detach", onto)
    for name, content in files.items():
        path = upstream.path / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            path.symlink_to(content)
        else:
            path.write_bytes(content)
    git(upstream.path, "add", "--all")
    if submodule:
        git(upstream.path, "update-index", "--add", "--cacheinfo", f"160000,{submodule},sub")
    git(upstream.path, "commit", "-q", "--allow-empty", "-m", "odd")
    made = out(upstream.path, "rev-parse", "HEAD")
    git(upstream.path, "checkout", "-q", "--force", "master")
    git(upstream.path, "clean", "-qffdx")
    return made


def land(upstream, revision: str) -> None:
    git(upstream.path, "checkout", "-q", "--force", "master")
    git(upstream.path, "reset", "-q", "--hard", revision)


async def merge(world, upstream, change: str, mode: MergeMode, name: str = "Z1"):
    return await world.merger().merge(request(upstream.offer(change), name, mode=mode))


def names(world, commit: str | None) -> list[bytes]:
    shown = git(world.repository("p1"), "ls-tree", "-r", "--name-only", "-z", str(commit)).stdout
    return os.fsencode(shown).split(b"\0")[:-1]


# --- submodules, links, binaries ---

ONE, TWO, THREE = ("1" * 40, "2" * 40, "3" * 40)


@ALL_MODES
async def test_a_submodule_that_both_sides_move_conflicts(world, upstream, mode):
    land(upstream, commit(upstream, {}, submodule=ONE))
    base = upstream.tip()
    land(upstream, commit(upstream, {}, submodule=TWO))
    answer = await merge(world, upstream, commit(upstream, {}, submodule=THREE, onto=base), mode)
    assert (answer.outcome, answer.paths) == (CONFLICT, ("sub",))


@ALL_MODES
async def test_a_submodule_that_one_side_moves_is_moved(world, upstream, mode):
    land(upstream, commit(upstream, {}, submodule=ONE))
    base = upstream.tip()
    land(upstream, commit(upstream, {b"file": b"x\n"}))
    answer = await merge(world, upstream, commit(upstream, {}, submodule=TWO, onto=base), mode)
    assert TWO in out(world.repository("p1"), "ls-tree", str(answer.commit), "sub")


@ALL_MODES
async def test_a_binary_that_both_sides_change_conflicts(world, upstream, mode):
    land(upstream, commit(upstream, {b"image": b"\0one"}))
    base = upstream.tip()
    land(upstream, commit(upstream, {b"image": b"\0two"}))
    answer = await merge(world, upstream, commit(upstream, {b"image": b"\0three"}, onto=base), mode)
    assert (answer.outcome, answer.paths) == (CONFLICT, ("image",))


@ALL_MODES
async def test_a_symlink_that_both_sides_make_conflicts_and_is_never_followed(world, upstream, mode, tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("untouched\n")
    base = upstream.tip()
    land(upstream, commit(upstream, {b"link": str(outside)}))
    answer = await merge(world, upstream, commit(upstream, {b"link": b"a file\n"}, onto=base), mode)
    assert answer.outcome is CONFLICT
    assert any(path.startswith("link") for path in answer.paths)
    assert outside.read_text() == "untouched\n"


@ALL_MODES
async def test_a_symlink_beside_other_changes_stays_a_symlink(world, upstream, mode):
    base = upstream.tip()
    land(upstream, commit(upstream, {b"other": b"x\n"}))
    answer = await merge(world, upstream, commit(upstream, {b"link": "/etc/passwd"}, onto=base), mode)
    assert out(world.repository("p1"), "ls-tree", str(answer.commit), "link").startswith("120000")
    assert world.show(answer.commit, "link") == "/etc/passwd"


# --- names ---

STRANGE = [b"new\nline", b"tab\tand \"quotes\"", b"not utf-8 \xff\xfe", b"-option", b"star*?[", b"a:b", "ä/ö".encode()]


@ALL_MODES
async def test_names_of_any_bytes_merge(world, upstream, mode):
    base = upstream.tip()
    land(upstream, commit(upstream, dict.fromkeys(STRANGE[::2], b"x\n")))
    answer = await merge(world, upstream, commit(upstream, dict.fromkeys(STRANGE[1::2], b"y\n"), onto=base), mode)
    assert set(STRANGE) <= set(names(world, answer.commit))


@ALL_MODES
async def test_lines_of_files_with_any_name_merge(world, upstream, mode):
    land(upstream, commit(upstream, {name: lines().encode() for name in STRANGE}))
    base = upstream.tip()
    land(upstream, commit(upstream, {name: lines(line_1="x").encode() for name in STRANGE}))
    change = commit(upstream, {name: lines(line_9="y").encode() for name in STRANGE}, onto=base)
    answer = await merge(world, upstream, change, mode)
    assert answer.outcome is MERGED
    assert world.show(answer.commit, "star*?[") == lines(line_1="x", line_9="y")


@ALL_MODES
async def test_conflicts_in_files_with_any_name_are_told_on_one_line_each(world, upstream, mode):
    land(upstream, commit(upstream, dict.fromkeys(STRANGE, b"x\n")))
    base = upstream.tip()
    land(upstream, commit(upstream, dict.fromkeys(STRANGE, b"y\n")))
    answer = await merge(world, upstream, commit(upstream, dict.fromkeys(STRANGE, b"z\n"), onto=base), mode)
    assert answer.outcome is CONFLICT
    assert len(answer.paths) == len(STRANGE)
    assert {"new\\nline", "not utf-8 \\xff\\xfe", "ä/ö"} <= set(answer.paths)


@ALL_MODES
async def test_names_that_differ_in_case_only_are_two_names(world, upstream, mode):
    base = upstream.tip()
    land(upstream, commit(upstream, {b"readme": b"small\n", b"Dir/x": b"x\n"}))
    answer = await merge(world, upstream, commit(upstream, {b"dir/x": b"y\n"}, onto=base), mode)
    assert {b"README", b"readme", b"Dir/x", b"dir/x"} <= set(names(world, answer.commit))


@pytest.mark.parametrize("name", [".git", ".GIT", "..", "."])
async def test_a_name_that_leads_out_of_a_work_tree_does_not_merge(world, upstream, name):
    """Gerrit refuses such, and so does git; a repository that is not Gerrit's may have them."""
    blob = out(upstream.path, "rev-parse", "master:README")
    entries = [b"100644 %s\0%s" % (each.encode(), bytes.fromhex(blob)) for each in sorted(("README", name))]
    tree = write_object(upstream.path, "tree", b"".join(entries))
    change = out(upstream.path, "commit-tree", "-m", "x", "-p", upstream.tip(), tree)
    upstream.push({"other": "x\n"})
    answer = await merge(world, upstream, change, RESOLVE)
    assert (answer.outcome, answer.paths) == (CONFLICT, (name,))


async def test_folders_without_end_do_not_merge_and_do_no_harm(world, upstream):
    """Two thousand folders, one in the other."""
    deep = "a/" * 2000 + "x"
    for ref, base, content in (("base", "master", "1"), ("change", "base", "2"), ("master", "base", "3")):
        committed = f"commit refs/heads/{ref}\ncommitter A <a@b> 1700001000 +0000\ndata 1\nx\n"
        fast_import(upstream.path, f"{committed}from refs/heads/{base}\nM 100644 inline {deep}\ndata 1\n{content}\n")
    answer = await merge(world, upstream, out(upstream.path, "rev-parse", "change"), RESOLVE)
    assert (answer.outcome, answer.detail) == (CONFLICT, "folders are nested too deeply to be merged")


# --- histories ---


@ALL_MODES
async def test_a_change_without_any_content(world, upstream, mode):
    base = upstream.tip()
    land(upstream, commit(upstream, {b"file": b"x\n"}))
    answer = await merge(world, upstream, commit(upstream, {}, onto=base), mode)
    assert answer.outcome is (CONFLICT if mode is PICK else MERGED)
    if mode is not PICK:
        tree = out(world.repository("p1"), "rev-parse", f"{answer.commit}^{{tree}}")
        assert tree == out(upstream.path, "rev-parse", "master^{tree}")


@pytest.mark.parametrize(("mode", "outcome"), [(MERGE, MERGED), (RESOLVE, MERGED), (PICK, CONFLICT)])
async def test_an_octopus(world, upstream, mode, outcome):
    arms = [commit(upstream, {name: b"x\n"}) for name in (b"a", b"b", b"c")]
    git(upstream.path, "checkout", "-q", "--detach", arms[0])
    git(upstream.path, "merge", "-q", "--no-edit", *arms[1:])
    octopus = out(upstream.path, "rev-parse", "HEAD")
    git(upstream.path, "checkout", "-q", "master")
    assert len(out(upstream.path, "show", "-s", "--format=%P", octopus).split()) == 3
    upstream.push({"d": "x\n"})
    answer = await merge(world, upstream, octopus, mode)
    assert answer.outcome is outcome
    if outcome is MERGED:
        assert {b"a", b"b", b"c", b"d"} <= set(names(world, answer.commit))


@pytest.mark.parametrize(("mode", "outcome"), [(MERGE, CONFLICT), (RESOLVE, CONFLICT), (PICK, MERGED)])
async def test_a_root_commit_has_no_history_in_common_and_can_only_be_picked(world, upstream, mode, outcome):
    blob = write_object(upstream.path, "blob", b"new\n")
    tree = write_object(upstream.path, "tree", b"100644 other\0" + bytes.fromhex(blob))
    answer = await merge(world, upstream, out(upstream.path, "commit-tree", "-m", "root", tree), mode)
    assert answer.outcome is outcome
    if outcome is MERGED:
        assert names(world, answer.commit) == [b"README", b"other"]
    else:
        assert "no history in common" in answer.detail


async def test_a_picked_change_keeps_author_message_and_date(world, upstream):
    upstream.push({"other": "x\n"})
    change = upstream.change({"file": "x\n"}, onto="stable", message="Überschrift\n\nmit Text\n")
    answer = await merge(world, upstream, change.commit, PICK)
    fields = ("show", "-s", "--format=%an %ae %at%n%B")
    assert out(world.repository("p1"), *fields, str(answer.commit)) == out(upstream.path, *fields, change.commit)


@ALL_MODES
async def test_a_change_that_is_in_already(world, upstream, mode):
    change = upstream.change({"file": "x\n"})
    land(upstream, change.commit)
    tip = upstream.push({"other": "x\n"})
    answer = await merge(world, upstream, change.commit, mode)
    assert (answer.outcome, answer.commit) == ((CONFLICT, None) if mode is PICK else (MERGED, tip))


@ALL_MODES
async def test_a_long_way_to_the_common_ancestor(world, upstream, mode):
    """Longer than what is walked without git's help."""
    base = upstream.tip()
    stream = "".join(
        f"commit refs/heads/master\ncommitter A <a@b> {1700001000 + number} +0000\ndata 1\nx\n"
        + (f"from {base}\n" if number == 0 else "")
        + f"M 100644 inline f{number % 9}\ndata 4\n{number:04}\n"
        for number in range(600)
    )
    fast_import(upstream.path, stream)
    change = commit(upstream, {b"file": b"x\n"}, onto=base)
    answer = await merge(world, upstream, change, mode)
    assert {b"README", b"f8", b"file"} <= set(names(world, answer.commit))


async def test_dates_out_of_order_do_not_mislead(world, upstream):
    """Commits of clocks that went wrong: the merge must find the same ancestor as git."""
    tree = out(upstream.path, "rev-parse", "master^{tree}")

    def at(date: int, *parents: str) -> str:
        raw = f"tree {tree}\n" + "".join(f"parent {each}\n" for each in parents)
        raw += f"author A <a@b> {date} +0000\ncommitter A <a@b> {date} +0000\n\nx {date} {len(parents)}\n"
        return write_object(upstream.path, "commit", raw.encode())

    root = at(5000)
    base = at(1, root)
    ours = base
    for number in range(5):
        ours = at(9000 - number * 1000, ours)
    theirs = at(2, at(8000, base))
    land(upstream, ours)
    merger = world.merger()
    await merger.merge(request(upstream.offer(theirs), "Z1"))
    bench = Workbench(Git(world.repository("p1")))
    assert merge_bases(bench.git, bench.objects, ours, theirs) == [base]
    bench.close()


# --- chains of them ---


async def test_in_a_chain_only_the_first_cause_is_told(world, upstream):
    chain = [request(upstream.change({"README": f"{number}\n"}), f"Z{number}") for number in range(5)]
    answer = await merge_chain(world.merger(), *chain)
    assert (answer.outcome, answer.paths) == (CONFLICT, ("README",))
    assert answer.detail == "the build set ahead, Z1, has no merged state: the contents conflict"
