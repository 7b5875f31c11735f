"""Sites that allow HTTP alone: git gets the password without showing it to anybody."""

from __future__ import annotations

import base64
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from ci_gate.config.settings import GerritSettings
from ci_gate.merger.git import Git, GitError
from ci_gate.merger.http import http_settings
from ci_gate.merger.ssh import ssh_variables

GERRIT = GerritSettings(
    "gerrit", "review.example.org", "ci", baseurl="https://review.example.org", password="s3cret", stream="webhooks"
)


def test_only_a_site_without_ssh_is_reached_over_http():
    assert GERRIT.project_url("demo/a b") == "https://review.example.org/a/demo/a%20b"
    for other in (replace(GERRIT, stream="ssh"), replace(GERRIT, password=None)):
        assert other.project_url("demo/app") == "ssh://ci@review.example.org:29418/demo/app"
        assert http_settings(other) == {}


def test_the_password_is_for_gerrits_address_alone():
    ((key, value), *others) = http_settings(GERRIT).items()
    assert key == "http.https://review.example.org/.extraHeader"
    assert base64.b64decode(value.rpartition(" ")[2]) == b"ci:s3cret"
    assert ("http.followRedirects", "false") in others
    assert "s3cret" not in repr(ssh_variables(GERRIT))


@pytest.fixture
async def upstream(tmp_path):
    """git's own files over HTTP, for those who know the password; what was asked with which header."""
    repository = tmp_path / "served/a/app"
    environment = {"PATH": os.environ["PATH"], "HOME": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    for command in (["init", "-q", "--bare", str(repository)], ["-C", str(repository), "update-server-info"]):
        subprocess.run(["git", *command], check=True, env=environment)
    asked: list[str | None] = []

    async def serve(request: web.Request) -> web.StreamResponse:
        asked.append(request.headers.get("Authorization"))
        if asked[-1] is None:
            return web.Response(status=401, headers={"WWW-Authenticate": "Basic"})
        path = repository.parent.parent / request.path.lstrip("/")
        return web.FileResponse(path) if Path(path).is_file() else web.Response(status=404)

    app = web.Application()
    app.add_routes([web.get("/{path:.*}", serve)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}", asked
    await runner.cleanup()


async def test_git_sends_the_password_and_its_errors_do_not_show_it(upstream, tmp_path):
    baseurl, asked = upstream
    gerrit = replace(GERRIT, baseurl=baseurl)
    git = Git(folder=tmp_path, config=http_settings(gerrit))
    await git.run("ls-remote", gerrit.project_url("app"), deadline_s=20)
    assert asked[0] == "Basic " + base64.b64encode(b"ci:s3cret").decode()
    with pytest.raises(GitError) as failed:
        await git.run("ls-remote", gerrit.project_url("other"), deadline_s=20)
    assert "s3cret" not in str(failed.value)
    assert asked[0] not in str(failed.value)
    with pytest.raises(GitError):
        await Git(folder=tmp_path).run("ls-remote", gerrit.project_url("app"), deadline_s=20)
