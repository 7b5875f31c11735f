"""A disk that is full, or that loses what it was given: the service says so, tells no lies, and catches up."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from e2e_site import EXAMPLES, JOB, PROJECT, Site, when

from ci_gate.sandbox.world import World

pytestmark = pytest.mark.e2e

CANNOT = "the journal cannot be written, and nothing new is taken"
SIZE = 8 * 1024 * 1024


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of a few megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0755", "none", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("file systems cannot be mounted here")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


@contextmanager
def no_space_on(disk: Path) -> Iterator[None]:
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for piece in (bytes(65536), b"x"):
            with suppress(OSError):
                while True:
                    file.write(piece)
    assert os.statvfs(disk).f_bavail == 0
    yield
    filler.unlink()


@contextmanager
def no_longer_files_for(pid: int) -> Iterator[None]:
    """What a process writes behind the first bytes of a file is refused, as by a quota."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, before[1]))
    yield
    resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


@pytest.fixture
async def on_small_disk(tmp_path, small_disk) -> AsyncIterator[Site]:
    settings = {("zuul", "state_dir"): str(small_disk), ("zuul", "git_dir"): str(tmp_path / "git")}
    async with World(tmp_path / "world", EXAMPLES, settings=settings) as world:
        site = Site(world)
        await site.start()
        yield site


def health(site: Site) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"{site.world.url}healthz", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as problem:
        return problem.code, problem.read().decode()


async def stands_still_and_catches_up(site: Site, fault: Callable[[], object]) -> None:
    """Nothing is voted during the fault; what came before, in and after it gets one vote each."""
    site.jenkins.hold(JOB)
    before = site.upload({"before": "x\n"})
    await site.jenkins.running(JOB)
    with fault():
        during = site.upload({"during": "x\n"})
        site.jenkins.release(JOB)
        await when(lambda: CANNOT in (site.status().get("message") or ""), "the status page saying so")
        assert any(each["text"].startswith(CANNOT) for each in site.status()["ci_gate"]["problems"])
        status, text = health(site)
        assert (status, CANNOT in text) == (503, True)
        unseen = site.upload({"unseen": "x\n"})
        await asyncio.sleep(0.5)
        assert [site.ours(each.number) for each in (before, during, unseen)] == [[], [], []]
        assert not site.builds(unseen.number)
    for each in (before, during, unseen, site.upload({"after": "x\n"})):
        await site.vote(each.number, +1)
    await site.nothing_left()
    assert [len(site.ours(each.number)) for each in (before, during, unseen)] == [1, 1, 1]
    assert not site.status().get("message")
    assert health(site)[0] == 200


async def test_on_a_full_disk_nothing_is_taken_and_nothing_is_lost(on_small_disk, small_disk):
    await stands_still_and_catches_up(on_small_disk, lambda: no_space_on(small_disk))
    log = on_small_disk.world.log.read_text()
    assert "the journal cannot be written; nothing new is taken until it can" in log
    assert "the journal can be written again" in log
    assert "Traceback" not in log


async def test_a_limit_of_files_is_no_worse_than_a_full_disk(site):
    await stands_still_and_catches_up(site, lambda: no_longer_files_for(site.world.pid))


async def test_a_service_that_is_stopped_on_a_full_disk_goes_on_later(on_small_disk, small_disk):
    site = on_small_disk
    with no_space_on(small_disk):
        change = site.upload()
        await when(lambda: CANNOT in (site.status().get("message") or ""), "the status page saying so")
        assert await site.world.stop_service() == 0
    await site.world.start_service()
    await site.vote(change.number, +1)
    await site.nothing_left()
    assert len(site.ours(change.number)) == 1


async def test_on_a_disk_that_is_full_from_the_start_it_says_so(on_small_disk, small_disk):
    await on_small_disk.world.stop_service(signal.SIGKILL)
    with no_space_on(small_disk):
        await on_small_disk.world.spawn_service()
        assert await on_small_disk.world.ended() == 1
    *_, last = on_small_disk.world.log.read_text().splitlines()
    assert last.startswith("ci-gate: cannot start: ")
    assert "full" in last or "No space" in last
    assert "Traceback" not in on_small_disk.world.log.read_text()


async def test_steps_that_the_disk_has_lost_are_told_and_found_again(site):
    site.jenkins.hold(JOB)
    known = site.upload({"known": "x\n"})
    await when(lambda: site.builds(known.number), "its build")
    log = site.world.folder / "state" / "journal.sqlite-wal"
    size = log.stat().st_size
    lost = site.upload({"lost": "x\n"})
    await when(lambda: site.builds(lost.number), "its build")
    await site.world.stop_service(signal.SIGKILL)
    os.truncate(log, size + 100)
    await site.world.start_service()
    (trouble,) = [each["text"] for each in site.status()["ci_gate"]["problems"] if each["owner"] == "journal"]
    assert trouble.startswith("the disk has lost steps ")
    site.jenkins.release(JOB)
    for each in (known, lost):
        await site.vote(each.number, +1)
    await site.nothing_left()
    assert [len(site.ours(each.number)) for each in (known, lost)] == [1, 1]
    assert PROJECT in site.world.log.read_text().split("found a missed event")[-1]
    uuids = {each.uuid for each in site.builds(lost.number)}
    assert not uuids & {each.uuid for each in site.builds(known.number)}


@pytest.mark.parametrize("obstacle", ["a pipe", "a folder", "noise"])
async def test_what_is_no_journal_is_refused_without_a_traceback(site, obstacle):
    await site.world.stop_service()
    journal = site.world.folder / "state" / "journal.sqlite"
    journal.unlink()
    match obstacle:
        case "a pipe":
            os.mkfifo(journal)
        case "a folder":
            journal.mkdir()
        case _:
            journal.write_bytes(os.urandom(8192))
    await site.world.spawn_service()
    async with asyncio.timeout(30):
        assert await site.world.ended() == 1
    *_, last = site.world.log.read_text().splitlines()
    assert last.startswith("ci-gate: cannot start: ")
    assert "journal" in last
    assert "Traceback" not in site.world.log.read_text()


async def test_a_state_dir_that_is_read_only_is_refused(on_small_disk, small_disk):
    await on_small_disk.world.stop_service()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    await on_small_disk.world.spawn_service()
    assert await on_small_disk.world.ended() == 1
    *_, last = on_small_disk.world.log.read_text().splitlines()
    reason = f"{small_disk} cannot be written to; set state_dir to a folder that this user can write to"
    assert last.endswith(f": error: [zuul] state_dir: {reason}")
