"""Other ways to a repository than HTTP: git's own daemon and plain files say "not there" in other words."""

from __future__ import annotations

import socket
import subprocess
import time

import pytest
from cloner_site import ENVIRONMENT

from ci_gate.sandbox.ports import free_port


@pytest.fixture
def daemon(site):
    """``git daemon`` for upstream and merger; its URL."""
    port = free_port()
    command = ["git", "daemon", "--export-all", "--listen=127.0.0.1", f"--port={port}", f"--base-path={site.folder}"]
    process = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    give_up_at = time.monotonic() + 10
    while not listens(port):
        assert time.monotonic() < give_up_at
        time.sleep(0.02)
    yield f"git://127.0.0.1:{port}"
    process.terminate()
    process.wait()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(params=["daemon", "files", "paths"])
def merger_url(request, site):
    if request.param == "daemon":
        return request.getfixturevalue("daemon") + "/merger"
    return f"{'file://' if request.param == 'files' else ''}{site.merger}"


def test_states_and_fall_backs_are_told_apart(site, merger_url):
    state = site.merged("org/app", "master")
    site.known_to_merger("org/lib")
    site.project("org/third")
    site.build(ZUUL_URL=merger_url)
    site.prepared("org/app", "org/lib", "org/third")
    assert site.head("org/app") == state
    assert site.head("org/lib") == site.tip("org/lib", "master")
    assert site.head("org/third") == site.tip("org/third", "master")


def test_a_merger_that_is_elsewhere_is_an_error(site, merger_url):
    site.merged("org/app", "master")
    site.build(ZUUL_URL=f"{merger_url}/elsewhere")
    assert "has not even org/app" in site.refused("org/lib")


def test_a_daemon_that_is_down_is_an_error(site):
    site.build(project="org/other", ZUUL_URL=f"git://127.0.0.1:{free_port()}/merger")
    assert "Connection refused" in site.refused("org/lib")
    assert not (site.workspace / "org/lib").exists()


def test_a_host_that_ssh_cannot_reach_is_an_error(site):
    """SSH's words for it are nearly those for a repository that is not there."""
    site.variables["GIT_SSH_COMMAND"] = "ssh -o ConnectTimeout=5"
    site.build(project="org/other", ZUUL_URL=f"ssh://nobody@127.0.0.1:{free_port()}/merger")
    assert "Could not read from remote repository" in site.refused("org/lib")
    assert not (site.workspace / "org/lib").exists()
