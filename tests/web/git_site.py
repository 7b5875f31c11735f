"""A server of merged states, real git clients, and repositories as mergers keep them."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web

from ci_gate.web.git import ServiceLimits, git_routes

ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": os.devnull,
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_AUTHOR_NAME": "Ann",
    "GIT_AUTHOR_EMAIL": "ann@example.org",
    "GIT_COMMITTER_NAME": "Ann",
    "GIT_COMMITTER_EMAIL": "ann@example.org",
}
NAME = "Z" + "0f" * 16
REF = f"refs/zuul/master/{NAME}"


def git(
    where: Path,
    *arguments: str,
    check: bool = True,
    stdin: str | None = None,
    variables: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", *arguments],
        cwd=where,
        env=ENVIRONMENT | dict(variables or {}),
        input=stdin,
        check=check,
        capture_output=True,
        text=True,
        timeout=60,
    )


def make_repository(git_dir: Path, project: str) -> str:
    """A bare repository as mergers keep them: two commits on master, a third published. The third's id."""
    work = git_dir.parent / "work" / project
    work.mkdir(parents=True)
    git(work, "init", "-q", "-b", "master")
    for text in ("one", "two", "three"):
        (work / "file").write_text(text)
        git(work, "add", "file")
        git(work, "commit", "-q", "-m", text)
    git(work, "tag", "-a", "v1", "-m", "first", "HEAD~2")
    commit = git(work, "rev-parse", "HEAD").stdout.strip()
    git(work, "reset", "-q", "--hard", "HEAD~1")
    repository = git_dir / project / ".git"
    git(work, "clone", "-q", "--bare", "--no-local", str(work), str(repository))
    git(repository, "fetch", "-q", str(work), f"{commit}:{REF}")
    return commit


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Server:
    """A running server, and a folder for clients."""

    git_dir: Path
    here: Path
    commit: str
    port: int
    encodings: list[str | None]
    """How the requests' bodies were packed."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/p"

    async def git(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A git client, in a repository of its own."""
        return await self.run(self.here, *arguments, check=check)

    async def run(
        self, where: Path, *arguments: str, check: bool = True, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """A git client that takes no thread from the server's."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            "git", *arguments, cwd=where, env=ENVIRONMENT | variables, stdout=pipe, stderr=pipe
        )
        async with asyncio.timeout(60):
            stdout, stderr = await process.communicate()
        assert process.returncode == 0 or not check, stderr.decode()
        return subprocess.CompletedProcess(arguments, process.returncode, stdout.decode(), stderr.decode())

    async def raw(self, path: str, method: str = "GET") -> int:
        """The status for a path that no client library has tidied up."""
        return (await self.answer(path, method)).status

    async def answer(self, path: str, method: str = "GET") -> Answer:
        """The whole answer, byte for byte, over a connection of its own."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: ci\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".encode())
        told = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        head, _, body = told.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        return Answer(int(status.split()[1]), dict(line.split(": ", 1) for line in lines), body)


@pytest.fixture(scope="module")
def git_dir(tmp_path_factory):
    made = tmp_path_factory.mktemp("served") / "git"
    make_repository(made, "org/app")
    return made


@pytest.fixture
async def serve(tmp_path, git_dir):
    """Starts a server with given limits."""
    runners = []
    encodings = []

    @web.middleware
    async def watch(request, handler):
        encodings.append(request.headers.get("Content-Encoding"))
        return await handler(request)

    async def start(limits: ServiceLimits | None = None) -> Server:
        app = web.Application(middlewares=[watch])
        app.add_routes(git_routes(git_dir, limits=limits))
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        runners.append(runner)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        commit = git(git_dir / "org/app/.git", "rev-parse", REF).stdout.strip()
        here = tmp_path / "client"
        here.mkdir()
        git(here, "init", "-q")
        return Server(git_dir, here, commit, runner.addresses[0][1], encodings)

    yield start
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
async def server(serve):
    return await serve()
