"""Merged states over HTTP: clients that are many, slow, or gone."""

from __future__ import annotations

import asyncio
import os
import subprocess

import pytest
from git_site import REF, Server

from ci_gate.web import git_slots
from ci_gate.web.git import ServiceLimits


async def upload_packs() -> int:
    """How many git upload-pack processes this process has as children."""
    return await children("upload-pack")


async def children(command: str) -> int:
    told = await asyncio.to_thread(
        subprocess.run, ["ps", "-o", "args=", "--ppid", str(os.getpid())], capture_output=True, text=True, check=False
    )
    return sum(command in line for line in told.stdout.splitlines())


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


@pytest.fixture
def in_turn(monkeypatch):
    """The requests that hold a slot or wait for one, or did."""
    come = []
    watched = git_slots.end_when_gone

    def noted(request, ending):
        come.append(request)
        return watched(request, ending)

    monkeypatch.setattr(git_slots, "end_when_gone", noted)
    return come


async def have_come(in_turn: list, count: int) -> bool:
    return len(in_turn) >= count


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
    for path in ("info/refs?service=git-upload-pack", "info/refs"):
        answer = await server.answer(f"/p/org/app/{path}")
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "30"
        assert "no-cache" in answer.headers["Cache-Control"]
        assert answer.body == b"too many clients at a time: try again later\n"
    writer.close()
    await until(none_running)
    assert await server.raw("/p/org/app/info/refs?service=git-upload-pack") == 200


async def test_a_git_client_shows_why_it_got_nothing(serve):
    server = await serve(ServiceLimits(at_once=1, queue_s=0.1))
    writer = await open_request(server)
    await until(running)
    told = await server.git("fetch", f"{server.url}/org/app", REF, check=False)
    assert "503" in told.stderr
    writer.close()


async def test_a_client_waits_for_its_turn(serve):
    server = await serve(ServiceLimits(at_once=1))
    writer = await open_request(server)
    await until(running)
    waiting = asyncio.create_task(server.raw("/p/org/app/info/refs?service=git-upload-pack"))
    done, _ = await asyncio.wait([waiting], timeout=0.3)
    assert not done
    writer.close()
    assert await waiting == 200


async def test_a_queue_that_is_full_turns_clients_away_at_once(serve, in_turn):
    server = await serve(ServiceLimits(at_once=1, waiting=1))
    first = await open_request(server)
    await until(running)
    second = await open_request(server)
    await until(lambda: have_come(in_turn, 2))
    address = "/p/org/app/info/refs?service=git-upload-pack"
    assert await server.raw(address) == 503
    second.close()
    first.close()


async def test_a_client_that_leaves_the_queue_makes_room_in_it(serve, in_turn):
    server = await serve(ServiceLimits(at_once=1, waiting=1))
    first = await open_request(server)
    await until(running)
    second = await open_request(server)
    await until(lambda: have_come(in_turn, 2))
    address = "/p/org/app/info/refs?service=git-upload-pack"
    assert await server.raw(address) == 503
    second.close()

    async def room() -> bool:
        """Somebody else waits, and is not turned away."""
        try:
            return await asyncio.wait_for(server.raw(address), 1) != 503
        except TimeoutError:
            return True

    await until(room)
    assert await upload_packs() == 1, "nothing was started for the client that left"
    first.close()


async def test_a_client_that_leaves_while_git_is_busy_takes_the_process_with_it(serve, tmp_path, monkeypatch):
    """Nothing is read or written meanwhile, so that no error tells of it."""
    busy = tmp_path / "bin" / "git"
    busy.parent.mkdir()
    busy.write_text("#!/bin/sh\n# git upload-pack\nexec sleep 60\n")
    busy.chmod(0o755)
    server = await serve()
    monkeypatch.setenv("PATH", f"{busy.parent}:{os.environ['PATH']}")
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /p/org/app/info/refs?service=git-upload-pack HTTP/1.1\r\nHost: ci\r\n\r\n")
    await until(lambda: children("sleep 60"))
    writer.close()

    async def ended() -> bool:
        return not await children("sleep 60")

    await until(ended)
