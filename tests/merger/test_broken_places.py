"""Disks that are full, processes that are killed, repositories that lost something: nothing stays so (merger.md 8)."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from merger_world import git, merge_chain, out, request

from ci_gate.merger import repository as repository_module
from ci_gate.model.merge import MergeMode, MergeOutcome, UpdateRequest

MERGED = MergeOutcome.MERGED
MEGABYTE = 1 << 20


@pytest.fixture
def upstream(world):
    return world.project("p1")


@pytest.fixture
async def merger(world, upstream):
    """One that has merged something in the project."""
    made = world.merger()
    await made.merge(request(upstream.change({"first": "x\n"}), "Z0"))
    return made


def loose(repository: Path, oid: str) -> Path:
    return repository / "objects" / oid[:2] / oid[2:]


def mirror_of(world) -> Path:
    return next((world.git_dir() / ".ci-gate" / "repositories").glob("*/upstream"))


async def merges(merger, upstream, name: str = "Z9") -> None:
    """It merges again as if nothing had been."""
    answer = await merger.merge(request(upstream.change({name: "x\n"}), name))
    assert answer.outcome is MERGED, answer


# --- full disks ---


@pytest.fixture
def small_disk(tmp_path):
    """A file system of three megabytes."""
    place = tmp_path / "host"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", place]
    mounted = subprocess.run(command, capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip("only root may mount file systems")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


async def test_a_disk_that_fills_while_fetching_fails_the_merge_and_spares_the_repository(small_disk, world, upstream):
    merger = world.merger()
    await merger.merge(request(upstream.change({"first": "x\n"}), "Z0"))
    noise = os.urandom(4 * MEGABYTE).hex()
    large = upstream.change({"large": noise})
    answer = await merger.merge(request(large, "Z1"))
    assert answer.outcome is MergeOutcome.INTERNAL
    assert "No space left on device" in answer.detail
    assert not list(world.repository("p1").rglob("tmp_pack_*")), "what was fetched in part is gone"
    await merges(merger, upstream)
    assert git(world.repository("p1"), "fsck", "--no-dangling").returncode == 0


def fill(file: Path) -> None:
    with suppress(OSError), file.open("wb", buffering=0) as opened:
        while True:
            opened.write(b"x" * 4096)


async def test_a_disk_that_is_full_while_merging_fails_the_merge(small_disk, world, upstream):
    merger = world.merger()
    first, second = upstream.change({"a": "x\n"}), upstream.change({"b": "x\n"})
    await merger.merge(request(first, "Z1"))
    await merger.merge(request(second, "Z2"))
    filler = small_disk / "filler"
    fill(filler)
    answer = await merger.merge(request(second, "Z3", "Z1", revision=second.commit))
    assert answer.outcome is MergeOutcome.INTERNAL
    assert "No space left on device" in answer.detail
    assert "No space left on device" in merger.trouble
    filler.unlink()
    assert (await merger.merge(request(second, "Z3", "Z1", revision=second.commit))).outcome is MERGED
    assert not merger.trouble
    await merges(merger, upstream)


async def test_a_limit_on_files_is_no_conflict_either(world, upstream, merger):
    """As with a quota: git is killed in the middle of its pack."""
    large = upstream.change({"large": os.urandom(MEGABYTE).hex()})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MEGABYTE // 4, hard))
    try:
        answer = await merger.merge(request(large, "Z1"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert answer.outcome in (MergeOutcome.FETCH, MergeOutcome.INTERNAL)
    assert not list(world.repository("p1").rglob("tmp_pack_*"))
    assert (await merger.merge(request(large, "Z1"))).outcome is MERGED


# --- killed and hanging processes ---


def pids_in(folder: Path) -> list[int]:
    """The processes that work in a folder."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        try:
            if (each / "cwd").readlink() == folder:
                found.append(int(each.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("mode", list(MergeMode))
async def test_git_processes_that_are_killed_are_started_again(world, upstream, merger, mode):
    upstream.push({"other": "x\n"})
    first, second = (upstream.change({name: "x\n"}, onto="stable") for name in "ab")
    assert (await merger.merge(request(first, "Z1", mode=mode))).outcome is MERGED
    killed = pids_in(world.repository("p1"))
    assert len(killed) >= 2
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    assert (await merger.merge(request(second, "Z2", mode=mode))).outcome is MERGED


async def test_a_git_process_that_hangs_is_killed_at_its_deadline(world, upstream, merger, monkeypatch):
    monkeypatch.setattr(repository_module, "LOCAL_DEADLINE_S", 0.5)
    for pid in pids_in(world.repository("p1")):
        os.kill(pid, signal.SIGSTOP)
    async with asyncio.timeout(20):
        answer = await merger.merge(request(upstream.change({"a": "x\n"}), "Z1"))
        assert answer.outcome is MergeOutcome.INTERNAL
        assert "no end within 0.5 s" in answer.detail
        await merges(merger, upstream)


async def test_a_fetch_that_is_killed_is_a_fetch_that_failed(world, upstream, merger, tmp_path):
    killer = tmp_path / "ssh"
    killer.write_text("#!/bin/sh\nkill -9 $PPID\n")
    killer.chmod(0o755)
    change = upstream.change({"a": "x\n"})
    os.environ["PATH"] = f"{tmp_path}:{os.environ['PATH']}"
    try:
        answer = await merger.merge(request(change, "Z1", url="ssh://nowhere/p1"))
    finally:
        os.environ["PATH"] = os.environ["PATH"].removeprefix(f"{tmp_path}:")
    assert answer.outcome is MergeOutcome.FETCH
    assert (await merger.merge(request(change, "Z1"))).outcome is MERGED


# --- repositories that lost something ---


async def test_a_repository_that_is_removed_by_hand_is_cloned_anew(world, upstream, merger):
    shutil.rmtree(world.repository("p1"))
    await merges(merger, upstream)
    again = await merger.merge(request(upstream.change({"more": "x\n"}), "Z8", "Z0"))
    assert again.outcome is MERGED
    assert {"master/Z0", "master/Z8", "master/Z9"} <= set(world.refs("p1"))


async def test_a_clone_that_another_merger_left_half_done_is_thrown_away(world, upstream):
    half = world.repository("p1")
    (half / "objects").mkdir(parents=True)
    (half / "config").write_text("[core]\n\tbare = false\n")
    await merges(world.merger(), upstream)


async def test_a_clone_of_ours_that_was_cut_off_is_no_repository(world, upstream, merger):
    left = mirror_of(world).parent / "clone"
    left.mkdir()
    (left / "HEAD").write_text("")
    shutil.rmtree(world.repository("p1"))
    await merges(world.merger(), upstream)


async def test_what_a_fetch_brought_in_part_is_brought_again(world, upstream, merger):
    change = upstream.change({"folder/a": "x\n"})
    upstream.push({"other": "x\n"})
    await merger.merge(request(change, "Z1"))
    tree = out(upstream.path, "rev-parse", f"{change.commit}^{{tree}}")
    git(world.repository("p1"), "update-ref", "-d", "refs/zuul/master/Z1")
    loose(world.repository("p1"), tree).unlink()
    answer = await world.merger().merge(request(change, "Z2", revision=change.commit))
    assert answer.outcome is MERGED


@pytest.mark.parametrize("what", ["truncated", "garbage", "empty"])
async def test_a_broken_object_has_the_repository_cloned_again(world, upstream, merger, what):
    tip = upstream.push({"file": "x\n"})
    await merger.update(UpdateRequest("U1", "gerrit", "p1"))
    path = loose(world.repository("p1"), tip)
    path.chmod(0o644)
    content = path.read_bytes()
    path.write_bytes({"truncated": content[:20], "garbage": b"x" * 99, "empty": b""}[what])
    await merges(world.merger(), upstream)
    assert git(world.repository("p1"), "fsck", "--no-dangling", check=False).returncode == 0


@pytest.mark.parametrize("name", ["HEAD", "packed-refs", "refs/heads/master", "config"])
async def test_a_file_that_a_power_cut_emptied_or_filled_with_zeros(world, upstream, merger, name):
    for content in (b"", b"\0" * 99):
        (world.repository("p1") / name).write_bytes(content)
        (world.repository("p1") / "packed-refs").touch()
        restarted = world.merger()
        await merges(restarted, upstream, f"Y{len(content)}")
        await restarted.close()


@pytest.mark.parametrize("name", ["HEAD", "packed-refs", "refs/heads/master", "config", "FETCH_HEAD", None])
async def test_the_mirror_is_made_anew_if_it_is_broken(world, upstream, merger, name):
    if name is None:
        shutil.rmtree(mirror_of(world))
    else:
        (mirror_of(world) / name).write_bytes(b"\0" * 99)
    upstream.push({"later": "x\n"})
    merger = world.merger()
    answers = [await merger.merge(request(upstream.change({f"f{number}": "x\n"}), f"Y{number}")) for number in range(2)]
    assert answers[-1].outcome is MERGED


async def test_a_record_that_cannot_be_read_is_made_anew(world, upstream, merger):
    change = upstream.change({"a": "x\n"})
    first = await merger.merge(request(change, "Z1"))
    (world.git_dir() / ".ci-gate" / "states" / "Z1.json").write_text("{")
    assert (await world.merger().merge(request(change, "Z1"))).commit == first.commit


async def test_states_that_are_of_use_are_made_again_when_a_repository_is_lost(world, upstream, merger):
    upstream.push({"other": "x\n"})
    chain = [request(upstream.change({f"f{number}": "x\n"}, onto="stable"), f"Z{number + 1}") for number in range(3)]
    await merge_chain(merger, *chain)
    published = world.refs("p1")
    shutil.rmtree(world.repository("p1") / "objects")
    await merges(merger, upstream)
    async with asyncio.timeout(20):
        while not published.keys() <= world.refs("p1").keys():  # noqa: ASYNC110  # nobody waits for it but builds
            await asyncio.sleep(0.02)
    assert {name: commit for name, commit in world.refs("p1").items() if name in published} == published
