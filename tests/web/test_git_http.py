"""Merged states over HTTP: what real git clients get, and what nobody gets."""

from __future__ import annotations

import asyncio
import gzip
from urllib.parse import quote

import aiohttp
import pytest
from git_site import REF, git, make_repository

from ci_gate.web.git import ServiceLimits


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


async def test_a_shallow_copy_can_be_deepened(server):
    await server.git("fetch", "-q", "--depth=1", f"{server.url}/org/app", REF)
    await server.git("fetch", "-q", "--deepen=1", f"{server.url}/org/app", REF)
    assert (await server.git("rev-list", "--count", "FETCH_HEAD")).stdout.strip() == "2"
    await server.git("fetch", "-q", "--unshallow", f"{server.url}/org/app", REF)
    assert (await server.git("rev-list", "--count", "FETCH_HEAD")).stdout.strip() == "3"


async def test_who_fetches_one_ref_is_told_of_no_other_build_set(server):
    """Version 2 of the protocol: a thousand refs of build sets cost a fetch of one nothing."""
    make_repository(server.git_dir, "org/busy")
    old = "".join(f"create refs/zuul/master/Z{number:032x} {server.commit}\n" for number in range(1000))
    repository = server.git_dir / "org/busy/.git"
    git(repository, "fetch", "-q", str(server.git_dir / "org/app/.git"), REF)
    git(repository, "update-ref", "--stdin", stdin=old)
    told = await server.run(server.here, "fetch", f"{server.url}/org/busy", REF, GIT_TRACE_PACKET="1")
    lines = [line for line in told.stderr.splitlines() if "fetch< " in line and " refs/zuul/" in line]
    assert [line.split()[-1] for line in lines] == [REF]


async def test_a_commit_can_be_fetched_by_its_id(server):
    await server.git("-c", "protocol.version=0", "fetch", "-q", f"{server.url}/org/app", server.commit)
    assert (await server.git("cat-file", "-t", server.commit)).stdout.strip() == "commit"


async def test_a_later_fetch_negotiates_from_a_long_history(server):
    """With so many commits of its own that the client's request is large, and packed by gzip."""
    await server.git("clone", "-q", f"{server.url}/org/app", "copy")
    copy = server.here / "copy"
    for number in range(120):  # later than all that the server has, whatever the time: the newest are offered first
        later = {"GIT_COMMITTER_DATE": f"{3_000_000_000 + number} +0000"}
        git(copy, "commit", "-q", "--allow-empty", "-m", str(number), variables=later)
    await server.run(copy, "-c", "protocol.version=0", "fetch", "-q", f"{server.url}/org/app", REF)
    assert git(copy, "rev-parse", "FETCH_HEAD").stdout.strip() == server.commit
    assert "gzip" in server.encodings


@pytest.mark.parametrize(
    "name",
    [
        "org/app/plugins/one",
        "org/app.git",
        "org/app/objects",
        "org/app/info/refs",
        "org/app/HEAD",
        "org/with blank",
        "org/50%25+more&less",
        "org/größe",
    ],
)
async def test_projects_may_be_named_like_parts_of_others_or_of_repositories(server, name):
    commit = make_repository(server.git_dir, name)
    for written in (name, f"{name}/", f"{name}.git", f"{name}/.git"):
        told = await server.git("ls-remote", f"{server.url}/{quote(written)}", REF)
        assert told.stdout.split() == [commit, REF]
    await server.git("clone", "-q", f"{server.url}/{quote(name)}", "copy")
    outer = await server.git("ls-remote", f"{server.url}/org/app/", REF)
    assert outer.stdout.split() == [server.commit, REF]


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


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("org/app/info/refs?service=git-upload-pack", "GET", 200),
        ("org/app/info/refs", "GET", 200),
        ("org/app/HEAD", "GET", 200),
        ("org/app/objects/info/packs", "GET", 200),
        ("org/app/git-upload-pack", "POST", 400),
        ("org/app/info/refs?service=git-receive-pack", "GET", 403),
        ("org/app/git-receive-pack", "POST", 403),
        ("org/nothing/info/refs?service=git-upload-pack", "GET", 404),
        ("org/app/objects/00/" + "0" * 38, "GET", 404),
    ],
)
async def test_nothing_of_the_moving_part_is_cached(server, path, method, status):
    answer = await server.answer(f"/p/{path}", method)
    assert answer.status == status
    assert answer.headers["Cache-Control"] == "no-cache, max-age=0, must-revalidate"
    assert answer.headers["Pragma"] == "no-cache"


async def test_what_never_changes_may_be_cached_for_ever(server):
    pack = next((server.git_dir / "org/app/.git/objects/pack").glob("*.pack"), None)
    loose = next((server.git_dir / "org/app/.git/objects").glob("??/*"))
    for path in filter(None, (pack, loose)):
        answer = await server.answer("/p/org/app/" + str(path.relative_to(server.git_dir / "org/app/.git")))
        assert answer.status == 200
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert answer.body == path.read_bytes()


async def test_a_question_about_the_head_alone_gets_no_body(server):
    answer = await server.answer("/p/org/app/info/refs?service=git-upload-pack", "HEAD")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/x-git-upload-pack-advertisement"
    assert answer.body == b""


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"])
async def test_other_methods_are_not_allowed(server, method):
    assert await server.raw("/p/org/app/info/refs", method) == 405
    assert await server.raw("/p/org/app/git-upload-pack", method) == 405


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


async def test_many_clients_at_a_time_are_all_served(server):
    answers = await asyncio.gather(*(server.git("ls-remote", f"{server.url}/org/app", REF) for _ in range(20)))
    assert all(each.stdout.split()[0] == server.commit for each in answers)
