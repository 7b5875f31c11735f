"""Merged states over HTTP: what real git clients get, and what nobody gets."""

from __future__ import annotations

import asyncio
import gzip
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import aiohttp
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


def git(where: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", *arguments], cwd=where, env=ENVIRONMENT, check=check, capture_output=True, text=True, timeout=60
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
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: ci\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".encode())
        status = await asyncio.wait_for(reader.readline(), 10)
        writer.close()
        return int(status.split()[1])


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


@pytest.mark.parametrize("version", ["0", "1", "2"])
async def test_a_worker_fetches_the_merged_state_by_its_ref(server, version):
    await server.git("-c", f"protocol.version={version}", "fetch", "-q", f"{server.url}/org/app", REF)
    assert (await server.git("rev-parse", "FETCH_HEAD")).stdout.strip() == server.commit


@pytest.mark.parametrize("written", ["org/app", "org/app/", "org/app.git", "org/app/.git", "/org/app"])
async def test_a_project_may_be_written_in_each_usual_way(server, written):
    told = await server.git("ls-remote", f"{server.url}/{written}", REF)
    assert told.stdout.split() == [server.commit, REF]


@pytest.mark.parametrize("version", ["0", "2"])
async def test_all_refs_are_listed(server, version):
    told = await server.git("-c", f"protocol.version={version}", "ls-remote", f"{server.url}/org/app")
    refs = {line.split("\t")[1] for line in told.stdout.splitlines()}
    assert refs >= {"HEAD", "refs/heads/master", "refs/tags/v1", "refs/tags/v1^{}", REF}


async def test_a_clone_checks_out_the_default_branch(server):
    await server.git("clone", "-q", f"{server.url}/org/app", "copy")
    assert (server.here / "copy" / "file").read_text() == "two"


async def test_a_shallow_fetch_gets_one_commit(server):
    await server.git("fetch", "-q", "--depth=1", f"{server.url}/org/app", REF)
    assert (await server.git("rev-list", "--count", "FETCH_HEAD")).stdout.strip() == "1"


async def test_a_commit_can_be_fetched_by_its_id(server):
    await server.git("-c", "protocol.version=0", "fetch", "-q", f"{server.url}/org/app", server.commit)
    assert (await server.git("cat-file", "-t", server.commit)).stdout.strip() == "commit"


async def test_a_later_fetch_negotiates_from_a_long_history(server):
    """With so many commits of its own that the client's request is large, and packed by gzip."""
    await server.git("clone", "-q", f"{server.url}/org/app", "copy")
    copy = server.here / "copy"
    for number in range(120):
        git(copy, "commit", "-q", "--allow-empty", "-m", str(number))
    await server.run(copy, "-c", "protocol.version=0", "fetch", "-q", f"{server.url}/org/app", REF)
    assert git(copy, "rev-parse", "FETCH_HEAD").stdout.strip() == server.commit
    assert "gzip" in server.encodings


async def test_projects_inside_projects_are_served(server):
    inner = make_repository(server.git_dir, "org/app/plugins/one")
    told = await server.git("ls-remote", f"{server.url}/org/app/plugins/one", REF)
    assert told.stdout.split()[0] == inner


async def test_a_request_packed_by_gzip_is_understood(server):
    body = f"0032want {server.commit}\n00000009done\n".encode()
    async with aiohttp.ClientSession() as client:
        url = f"{server.url}/org/app/git-upload-pack"
        headers = {"Content-Encoding": "gzip", "Content-Type": "application/x-git-upload-pack-request"}
        async with client.post(url, data=gzip.compress(body), headers=headers) as answer:
            assert answer.status == 200
            assert answer.content_type == "application/x-git-upload-pack-result"
            assert (await answer.read()).startswith(b"0008NAK\nPACK")


async def test_a_request_that_is_not_what_it_says_is_refused(server):
    async with aiohttp.ClientSession() as client:
        url = f"{server.url}/org/app/git-upload-pack"
        async with client.post(url, data=b"no gzip at all", headers={"Content-Encoding": "gzip"}) as answer:
            assert answer.status == 400


async def test_a_request_that_never_ends_is_refused(serve):
    server = await serve(ServiceLimits(request_bytes=1000))

    async def endless():
        for _ in range(100):
            yield b"0032want " + b"0" * 40 + b"\n"

    url = f"{server.url}/org/app/git-upload-pack"
    async with aiohttp.ClientSession() as client, client.post(url, data=endless()) as answer:
        assert answer.status == 413


async def test_nothing_of_the_moving_part_is_cached(server):
    url = f"{server.url}/org/app/info/refs?service=git-upload-pack"
    async with aiohttp.ClientSession() as client, client.get(url) as answer:
        assert answer.content_type == "application/x-git-upload-pack-advertisement"
        assert "no-cache" in answer.headers["Cache-Control"]


async def test_nobody_can_push(server):
    await server.git("commit", "-q", "--allow-empty", "-m", "mine")
    done = await server.git("push", f"{server.url}/org/app", "HEAD:refs/heads/mine", check=False)
    assert done.returncode != 0
    assert "403" in done.stderr
    assert await server.raw("/p/org/app/git-receive-pack", "POST") == 403


@pytest.mark.parametrize(
    "path",
    [
        "nothing/here",
        "org",
        "org/app/../app",
        "../git/org/app",
        "org/%2e%2e/org/app",
        "%2E%2E/git/org/app",
        "org%2fapp",
        "org%2Fapp",
        "org%5capp",
        "org/./app",
        "org//app",
        ".git",
        "org/app/.git/.git",
        "org/app%00",
        "org/app%0a",
        "org/%ff",
        "a" * 300,
        "work/org/app",
        ".ci-gate/states",
    ],
)
async def test_unknown_and_escaping_names_are_not_found(server, path):
    for address in (f"/p/{path}/info/refs?service=git-upload-pack", f"/p/{path}/info/refs", f"/p/{path}/HEAD"):
        assert await server.raw(address) == 404
    assert await server.raw(f"/p/{path}/git-upload-pack", "POST") == 404


async def test_a_link_that_leads_out_of_the_folder_is_not_followed(server):
    make_repository(server.git_dir.parent / "private", "secret")
    (server.git_dir / "link").symlink_to(server.git_dir.parent / "private" / "secret")
    assert await server.raw("/p/link/info/refs?service=git-upload-pack") == 404


@pytest.mark.parametrize("name", ["config", "hooks/post-update", "objects/info/alternates", "packed-refs", "objects"])
async def test_other_files_of_a_repository_are_not_found(server, name):
    assert await server.raw(f"/p/org/app/{name}") == 404
    assert await server.raw(f"/p/org/app/.git/{name}") == 404


async def test_a_client_without_the_smart_protocol_clones_files(server):
    copy = server.here / "copy"
    await server.run(server.here, "clone", "-q", f"{server.url}/org/app", str(copy), GIT_SMART_HTTP="0")
    assert (copy / "file").read_text() == "two"
    assert git(copy, "rev-parse", "v1^{}").stdout == git(copy, "rev-parse", "HEAD~1").stdout


async def upload_packs() -> int:
    """How many git upload-pack processes this process has as children."""
    told = await asyncio.to_thread(
        subprocess.run, ["ps", "-o", "args=", "--ppid", str(os.getpid())], capture_output=True, text=True, check=False
    )
    return sum("upload-pack" in line for line in told.stdout.splitlines())


async def until(condition, seconds: float = 10.0):
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - processes come and go without telling
            await asyncio.sleep(0.02)


async def open_request(server: Server) -> asyncio.StreamWriter:
    """A client that begins a request and says no more."""
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    head = "POST /p/org/app/git-upload-pack HTTP/1.1\r\nHost: ci\r\nContent-Length: 1000\r\n\r\n0032want "
    writer.write(head.encode())
    await writer.drain()
    return writer


async def running() -> bool:
    return await upload_packs() > 0


async def none_running() -> bool:
    return await upload_packs() == 0


async def test_a_client_that_goes_away_takes_its_process_with_it(server):
    writer = await open_request(server)
    await until(running)
    writer.close()
    await until(none_running)


async def test_a_client_that_says_nothing_is_cut_off(serve):
    server = await serve(ServiceLimits(idle_s=0.2))
    writer = await open_request(server)
    await until(running)
    await until(none_running)
    writer.close()


async def test_more_clients_than_there_are_places_are_told_to_come_back(serve):
    server = await serve(ServiceLimits(at_once=1, queue_s=0.1))
    writer = await open_request(server)
    await until(running)
    assert await server.raw("/p/org/app/info/refs?service=git-upload-pack") == 503
    writer.close()
    await until(none_running)
    assert await server.raw("/p/org/app/info/refs?service=git-upload-pack") == 200


async def test_many_clients_at_a_time_are_all_served(server):
    answers = await asyncio.gather(*(server.git("ls-remote", f"{server.url}/org/app", REF) for _ in range(20)))
    assert all(each.stdout.split()[0] == server.commit for each in answers)
