"""nginx and Apache with ``git http-backend`` in place of our own server: the examples of ``deploy/``, as they are."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from functools import partial
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest
from git_site import REF, git, make_repository

from bench.web_servers import APACHE, FCGIWRAP, NGINX, apache, nginx

NGINX_IS_THERE = pytest.mark.skipif(not (NGINX and FCGIWRAP), reason="nginx or fcgiwrap is not installed")
APACHE_IS_THERE = pytest.mark.skipif(not APACHE, reason="Apache is not installed")
NAMES = ["org/app", "org/app/plugins/one", "org/app/objects", "org/with blank", "org/50%25+more"]
ANOTHER_USER = 1


@pytest.fixture(scope="module")
def served():
    """A folder with projects, and the commit of each one's merged state. Web servers' users may read it."""
    folder = Path(tempfile.mkdtemp(prefix="ci-gate-served-"))
    commits = {name: make_repository(folder / "git", name) for name in NAMES}
    git(folder, "clone", "-q", "--bare", str(folder / "git/org/app/.git"), "git/.ci-gate/kept/.git")
    subprocess.run(["chmod", "-R", "a+rX", folder], check=True)
    if os.getuid() == 0:
        subprocess.run(["chown", "-R", str(ANOTHER_USER), folder / "git"], check=True)
    yield folder / "git", commits
    shutil.rmtree(folder)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(nginx, marks=NGINX_IS_THERE),
        pytest.param(apache, marks=APACHE_IS_THERE),
        pytest.param(partial(apache, threads=False), marks=APACHE_IS_THERE),
    ],
    ids=["nginx", "apache", "apache without threads"],
)
def url(request, served, tmp_path_factory):
    with request.param(tmp_path_factory.mktemp("server"), served[0]) as url:
        yield url


@pytest.fixture
def commit(served):
    return served[1]["org/app"]


@pytest.fixture
def client(tmp_path):
    git(tmp_path, "init", "-q")
    return tmp_path


def answer(address: str, method: str = "GET", data: bytes | None = None):
    try:
        return urlopen(Request(address, data=data, method=method), timeout=20)
    except HTTPError as refusal:
        return refusal


@pytest.mark.parametrize("version", ["0", "1", "2"])
def test_a_worker_fetches_the_merged_state_by_its_ref(url, commit, client, version):
    git(client, "-c", f"protocol.version={version}", "fetch", "-q", f"{url}/org/app", REF)
    assert git(client, "rev-parse", "FETCH_HEAD").stdout.strip() == commit


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("end", ["", "/", ".git", "/.git", ".git/"])
def test_a_project_may_be_written_in_each_usual_way(url, served, client, name, end):
    told = git(client, "ls-remote", f"{url}/{quote(name)}{end}", REF)
    assert told.stdout.split() == [served[1][name], REF]


def test_who_fetches_one_ref_is_told_of_no_other(url, client):
    told = git(client, "fetch", f"{url}/org/app", REF, variables={"GIT_TRACE_PACKET": "1"})
    assert "version 2" in told.stderr
    assert REF in told.stderr
    assert "refs/heads/master" not in told.stderr


def test_branches_tags_and_build_sets_are_listed(url, client):
    told = git(client, "-c", "protocol.version=0", "ls-remote", f"{url}/org/app")
    refs = {line.split("\t")[1] for line in told.stdout.splitlines()}
    assert refs >= {"HEAD", "refs/heads/master", "refs/tags/v1", "refs/tags/v1^{}", REF}


def test_a_commit_can_be_fetched_by_its_id(url, commit, client):
    git(client, "-c", "protocol.version=0", "fetch", "-q", f"{url}/org/app", commit)
    assert git(client, "cat-file", "-t", commit).stdout.strip() == "commit"


def test_a_shallow_fetch_gets_one_commit(url, client):
    git(client, "fetch", "-q", "--depth=1", f"{url}/org/app", REF)
    assert git(client, "rev-list", "--count", "FETCH_HEAD").stdout.strip() == "1"


@pytest.mark.parametrize("commits", [120, 6000])
def test_a_long_history_is_negotiated(url, commit, client, commits):
    """So long that requests are packed by gzip, or sent in pieces."""
    git(client, "fetch", "-q", f"{url}/org/app", "master:theirs")
    git(client, "fast-import", "--quiet", stdin=history(commits, git(client, "rev-parse", "theirs").stdout.strip()))
    git(client, "-c", "http.postBuffer=65536", "-c", "protocol.version=0", "fetch", "-q", f"{url}/org/app", REF)
    assert git(client, "rev-parse", "FETCH_HEAD").stdout.strip() == commit


def history(length: int, start: str) -> str:
    commits = (f"commit refs/heads/mine\ncommitter A <a@b> {number} +0000\ndata 0\n" for number in range(length))
    return next(commits) + f"from {start}\n" + "".join(commits)


def test_a_client_without_the_smart_protocol_clones_files(url, client):
    git(client, "clone", "-q", f"{url}/org/app", "copy", variables={"GIT_SMART_HTTP": "0"})
    assert (client / "copy" / "file").read_text() == "two"


def test_nobody_can_push(url, client):
    git(client, "commit", "-q", "--allow-empty", "-m", "mine")
    done = git(client, "push", f"{url}/org/app", "HEAD:refs/heads/mine", check=False)
    assert done.returncode != 0
    assert "403" in done.stderr
    assert answer(f"{url}/org/app/git-receive-pack", "POST", b"0000").status in {403, 404}


@pytest.mark.parametrize(
    "path",
    [
        "nothing/info/refs?service=git-upload-pack",
        "org/info/refs",
        ".ci-gate/kept/info/refs?service=git-upload-pack",
        ".ci-gate/kept/HEAD",
        "org/app/config",
        "org/app/.git/config",
        "org/app/packed-refs",
        "org/app/hooks/post-update.sample",
        "org/app/%2e%2e/app/config",
        "",
        "org/app",
    ],
)
def test_nothing_else_is_served(url, path):
    assert answer(f"{url}/{path}").status == 404


def test_nothing_of_the_moving_part_is_cached(url):
    told = answer(f"{url}/org/app/info/refs?service=git-upload-pack")
    assert told.status == 200
    assert told.headers["Cache-Control"] == "no-cache, max-age=0, must-revalidate"
