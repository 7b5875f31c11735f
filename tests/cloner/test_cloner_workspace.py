"""The working copies themselves: made, kept and tidied, from a cache, several at once, one inside another."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from aiohttp import web
from cloner_site import ENVIRONMENT, Site, git, serving

from ci_gate.cloner.workspace import SCRATCH


def names(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()}


# --- copies that are there already ---


def test_a_copy_that_is_there_is_kept_with_its_origin(site):
    site.prepared("org/app")
    git(site.workspace / "org/app", "config", "user.remark", "mine")
    git(site.workspace / "org/app", "remote", "set-url", "origin", str(site.upstream / "org/app/.git"))
    newer = site.commit("org/app", "master")
    site.prepared("org/app")
    assert site.head() == newer
    assert git(site.workspace / "org/app", "config", "user.remark") == "mine"
    assert site.origin() == str(site.upstream / "org/app/.git")


def test_what_an_earlier_job_left_is_dropped(site):
    site.commit("org/app", "master", "changed", "deleted", "conflict", ".gitignore")
    site.prepared("org/app")
    copy = site.workspace / "org/app"
    git(copy, "checkout", "-q", "-b", "mine")
    (copy / "conflict").write_text("mine")
    git(copy, "commit", "-q", "-a", "-m", "mine")
    git(copy, "checkout", "-q", "-b", "theirs", "HEAD~1")
    (copy / "conflict").write_text("theirs")
    git(copy, "commit", "-q", "-a", "-m", "theirs")
    git(copy, "merge", "mine", check=False)
    (copy / "changed").write_text("x")
    (copy / "deleted").unlink()
    (copy / "deleted").mkdir()
    (copy / "deleted" / "inside").write_text("x")
    (copy / ".gitignore").write_text("*.o\nbuild\n")
    (copy / "staged").write_text("x")
    git(copy, "add", "staged", ".gitignore")
    for untracked in ("untracked", "ignored.o", "folder/a", "build/deep/b"):
        (copy / untracked).parent.mkdir(parents=True, exist_ok=True)
        (copy / untracked).write_text("x")
    site.prepared("org/app")
    assert site.head() == site.tip("org/app", "master")
    assert names(copy) == {".git", ".gitignore", "changed", "deleted", "conflict", "master.txt"}
    assert not (copy / ".git" / "MERGE_HEAD").exists()


def test_untracked_repositories_stay_and_what_is_beside_them_goes(site):
    site.prepared("org/app")
    copy = site.workspace / "org/app"
    git(site.folder, "clone", "-q", str(site.upstream / "org/lib/.git"), str(copy / "folder/lib"))
    (copy / "folder/lib/untracked").write_text("x")
    (copy / "folder/beside").write_text("x")
    site.prepared("org/app")
    assert names(copy / "folder") == {"lib"}
    assert names(copy / "folder/lib") == {".git", "master.txt", "untracked"}


def test_branches_that_are_gone_upstream_are_forgotten_and_tags_follow(site):
    git(site.upstream / "org/app/.git", "tag", "v1", "master")
    git(site.upstream / "org/app/.git", "branch", "gone", "master")
    site.prepared("org/app")
    git(site.upstream / "org/app/.git", "branch", "-D", "gone")
    git(site.upstream / "org/app/.git", "branch", "gone/deeper", "master")
    moved = site.commit("org/app", "master")
    git(site.upstream / "org/app/.git", "tag", "-f", "v1", "master")
    site.prepared("--branch", "gone", "org/app")
    copy = site.workspace / "org/app"
    assert site.head() == moved
    assert git(copy, "rev-parse", "v1") == moved
    assert "origin/gone\n" not in git(copy, "branch", "-r", "--format=%(refname:short)") + "\n"


def test_a_copy_whose_origin_is_gone_says_what_to_do(site):
    site.prepared("org/app")
    git(site.workspace / "org/app", "remote", "set-url", "origin", str(site.folder / "nowhere"))
    assert f"remove {site.workspace / 'org/app'} to have it cloned anew" in site.refused("org/app")


def test_a_damaged_copy_is_an_error_and_the_repository_around_it_is_left_alone(site):
    git(site.folder, "init", "-q", str(site.workspace))
    (site.workspace / "precious").write_text("x")
    (site.workspace / "org/app/.git").mkdir(parents=True)
    assert "not a git repository" in site.refused("org/app")
    assert (site.workspace / "precious").exists()


def test_files_in_the_way_of_a_new_copy_are_dropped(site):
    (site.workspace / "org/app/master.txt").mkdir(parents=True)
    (site.workspace / "org/app/master.txt/file").write_text("x")
    (site.workspace / "org/app/other").write_text("x")
    site.prepared("org/app")
    assert site.head() == site.tip("org/app", "master")
    assert names(site.workspace / "org/app") == {".git", "master.txt"}


def test_all_branches_and_a_local_one_are_there_as_after_any_clone(site):
    site.prepared("org/app")
    copy = site.workspace / "org/app"
    assert git(copy, "rev-parse", "origin/stable") == site.tip("org/app", "stable")
    assert git(copy, "rev-parse", "master") == site.tip("org/app", "master")


# --- the cache ---


@pytest.fixture
def cache(site):
    """A copy of upstream's earlier state, with a branch that upstream has no more."""
    folder = site.folder / "cache"
    git(site.folder, "clone", "-q", "--no-local", str(site.upstream / "org/app/.git"), str(folder / "org/app"))
    git(folder / "org/app", "branch", "only-in-cache")
    site.commit("org/app", "master")
    return folder


def test_a_copy_begins_in_the_cache_and_has_the_origin_upstream(site, cache):
    ended = site.prepared("--cache-dir", str(cache), "org/app", "org/lib")
    assert f"org/app: cloning from the cache, {cache}/org/app" in ended.log
    assert f"org/lib: cloning from {site.base}/org/lib" in ended.log
    assert site.head() == site.tip("org/app", "master")
    assert site.origin() == f"{site.base}/org/app"
    assert "only-in-cache" not in git(site.workspace / "org/app", "branch", "-r")


def test_a_copy_does_without_the_cache_afterwards(site, cache):
    site.variables["ZUUL_CACHE_DIR"] = str(cache)
    assert "from the cache" in site.prepared("org/app").log
    objects = [each for each in (cache / "org/app/.git/objects").rglob("*") if each.is_file()]
    assert all(each.stat().st_nlink == 1 for each in objects)
    shutil.rmtree(cache)
    git(site.workspace / "org/app", "fsck", "--full", "--strict")
    site.prepared("org/app")


def test_the_change_s_own_project_begins_in_the_cache_too(site, cache):
    state = site.merged("org/app", "master")
    site.build()
    site.prepared("--cache-dir", str(cache), "org/app")
    assert site.head() == state
    assert site.origin() == f"{site.merger_url}/org/app"


def test_a_folder_of_the_cache_that_only_holds_other_projects_is_no_repository(site, cache):
    site.project("org")
    ended = site.prepared("--cache-dir", str(cache), "org")
    assert f"org: cloning from {site.base}/org" in ended.log
    assert site.head("org") == site.tip("org", "master")


def test_a_bare_repository_may_be_in_the_cache(site, tmp_path):
    git(tmp_path, "clone", "-q", "--mirror", str(site.upstream / "org/app/.git"), "bare/org/app")
    assert "from the cache" in site.prepared("--cache-dir", str(tmp_path / "bare"), "org/app").log
    assert site.head() == site.tip("org/app", "master")


def test_a_damaged_cache_only_costs_time(site, cache):
    for pack in (cache / "org/app/.git/objects").rglob("*"):
        if pack.is_file():
            pack.unlink()
    ended = site.prepared("--cache-dir", str(cache), "org/app")
    assert "WARNING org/app: the cache is of no use" in ended.log
    assert site.head() == site.tip("org/app", "master")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_the_cache_may_belong_to_another_user(site, cache):
    subprocess.run(["chown", "-R", "1", cache], check=True)
    assert "of no use" not in site.prepared("--cache-dir", str(cache), "org/app").log


# --- several projects ---


def test_projects_after_one_that_fails_are_not_prepared(site):
    site.project("org/third")
    log = site.refused("org/app", "org/none", "org/lib", "org/third")
    assert "ERROR org/none: cannot clone" in log
    assert site.head("org/app") == site.tip("org/app", "master")
    assert names(site.workspace) == {"org"}
    assert names(site.workspace / "org") == {"app"}


def test_several_projects_are_got_at_once(tmp_path):
    arrived = []

    @web.middleware
    async def wait_for_each_other(request, handler):
        if request.path.endswith("/info/refs"):
            arrived.append(request.path)
            async with asyncio.timeout(10):
                while len(arrived) < 4:  # noqa: ASYNC110 - across requests, each in a task of its own
                    await asyncio.sleep(0.01)
        return await handler(request)

    projects = [f"org/p{number}" for number in range(4)]
    with serving(tmp_path, wait_for_each_other) as url:
        site = Site(tmp_path, url)
        for project in projects:
            site.project(project)
        site.prepared(*projects)
    for project in projects:
        assert site.head(project) == site.tip(project, "master")


@pytest.mark.parametrize("order", [("org", "org/app", "org/app/sub"), ("org/app/sub", "org", "org/app")])
def test_projects_may_lie_inside_one_another(site, order):
    """Also when the outer one is named later, and has files where the inner one goes."""
    site.project("org")
    site.project("org/app/sub")
    site.commit("org", "master", "app.txt", "tool")
    for _ in range(2):
        site.prepared(*order)
        for project in order:
            assert git(site.workspace / project, "rev-parse", "HEAD") == site.tip(project, "master")
            assert git(site.workspace / project, "diff", "HEAD", "--name-only") == ""


def test_nothing_but_the_copies_is_left(site):
    site.prepared("org/app", "org/lib")
    assert names(site.workspace) == {"org"}
    assert names(site.workspace / "org") == {"app", "lib"}
    site.refused("org/none")
    assert names(site.workspace) == {"org"}


def test_a_cloner_that_is_told_to_end_ends_its_git_processes(tmp_path):
    asked = []

    @web.middleware
    async def never_answer(request, handler):
        asked.append(request.path)
        await asyncio.sleep(60)

    with serving(tmp_path, never_answer) as url:
        workspace = tmp_path / "workspace"
        command = [sys.executable, "-m", "ci_gate.cloner", "--workspace", workspace, url, "org/app", "org/lib"]
        process = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
        give_up_at = time.monotonic() + 20
        while len(asked) < 2:
            assert time.monotonic() < give_up_at
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=10)
    assert process.returncode == 128 + signal.SIGTERM
    assert "Traceback" not in log
    assert names(workspace) == set()
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert f"{url}/org/app" not in running


def test_a_workspace_that_cannot_be_written_to_is_an_error(site):
    (site.folder / "workspace").write_text("a file")
    assert f"cannot write to the workspace {site.workspace}: File exists" in site.refused("org/app")


def test_a_scratch_folder_is_made_beside_the_copies(site):
    """On their file system: a copy is put in place by renaming it."""
    ended = site.prepared("-v", "org/app")
    assert f"{site.workspace}/{SCRATCH}" in ended.log
