"""The wrapper around the git command: what it passes on, and that nothing outlives it."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest
from merger_world import git

from ci_gate.merger.git import Git, GitDeadlineError, GitError


@pytest.fixture
def repository(tmp_path):
    git(tmp_path, "init", "-q", "--bare", "repo")
    return Git(tmp_path / "repo")


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def slow_helper(folder: Path) -> tuple[str, Path]:
    """An ssh that writes its process id and then sleeps."""
    told = folder / "pid"
    script = folder / "ssh"
    script.write_text(f"#!/bin/sh\necho $$ > {told}\nexec sleep 60\n")
    script.chmod(0o755)
    return str(script), told


async def test_a_command_tells_its_output(repository):
    assert (await repository.run("rev-parse", "--is-bare-repository")).text == "true"


async def test_a_failure_has_gits_words_on_one_line(repository):
    with pytest.raises(GitError) as failed:
        await repository.run("rev-parse", "--verify", "nothing")
    assert failed.value.code == 128
    assert "\n" not in str(failed.value)
    assert "git rev-parse failed: fatal: " in str(failed.value)


async def test_passwords_in_urls_are_not_repeated(repository):
    with pytest.raises(GitError) as failed:
        await repository.run("fetch", "http://user:hunter2@127.0.0.1:1/x")
    assert "hunter2" not in failed.value.stderr + str(failed.value)


async def test_at_its_deadline_it_is_killed_with_all_its_children(repository, tmp_path):
    ssh, told = slow_helper(tmp_path)
    began = time.monotonic()
    with pytest.raises(GitDeadlineError):
        await repository.having(GIT_SSH=ssh).run("ls-remote", "ssh://nowhere/x", deadline_s=1.0)
    assert time.monotonic() - began < 10
    await gone(int(told.read_text()))


async def test_a_cancelled_call_leaves_nothing_running(repository, tmp_path):
    ssh, told = slow_helper(tmp_path)
    call = asyncio.create_task(repository.having(GIT_SSH=ssh).run("ls-remote", "ssh://nowhere/x"))
    async with asyncio.timeout(10):
        while not (told.exists() and told.read_text().strip()):  # noqa: ASYNC110  # a process writes it
            await asyncio.sleep(0.01)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await gone(int(told.read_text()))


async def gone(pid: int) -> None:
    async with asyncio.timeout(5):
        while lives(pid):  # noqa: ASYNC110  # the kernel tells nobody
            await asyncio.sleep(0.01)


async def test_the_callers_git_variables_and_configuration_have_no_say(repository, tmp_path, monkeypatch):
    (tmp_path / ".gitconfig").write_text("[user]\nname = Somebody\n[alias]\nx = !false\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'user.name=Else'")
    assert (await repository.run("config", "--get", "user.name", accept=(1,))).code == 1
    assert (await repository.run("rev-parse", "--absolute-git-dir")).text == os.fspath(repository.directory)
