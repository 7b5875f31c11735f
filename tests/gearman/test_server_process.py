"""The embedded job server as a child process: it starts, says why it cannot, and ends with its parent."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE

import pytest
from gearman_parts import HOST, when

from ci_gate.config.settings import GearmanServerSettings
from ci_gate.gearman.server_process import GearmanServerError, ServerProcess
from ci_gate.sandbox.ports import free_port

SETTINGS = GearmanServerSettings(start=True, listen_address=HOST)


async def ask(port: int, line: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(line + b"\n")
    async with asyncio.timeout(5):
        answer = await reader.readline()
    writer.close()
    return answer


async def test_it_listens_when_start_returns_and_is_gone_after_stop():
    server = ServerProcess(SETTINGS, 0)
    await server.start()
    assert (await ask(server.port, b"version")).startswith(b"OK ")
    pid = server.pid
    await server.stop()
    assert not Path(f"/proc/{pid}").exists()


async def test_a_taken_port_is_one_clear_line():
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(GearmanServerError) as refused:
            await ServerProcess(SETTINGS, port).start()
    assert str(port) in str(refused.value)
    assert "in use" in str(refused.value)
    assert "\n" not in str(refused.value)


async def test_an_unknown_request_is_answered_and_the_connection_goes_on():
    server = ServerProcess(SETTINGS, 0)
    await server.start()
    try:
        assert (await ask(server.port, b"nonsense")).startswith(b"ERR UNKNOWN_COMMAND")
    finally:
        await server.stop()


async def test_one_that_dies_is_told_of_and_started_again():
    deaths: list[str] = []
    server = ServerProcess(SETTINGS, free_port(), on_death=deaths.append, first_pause_s=0.05)
    await server.start()
    first = server.pid
    os.kill(first, signal.SIGKILL)
    await when(lambda: server.pid not in (None, first), "a new server")
    assert "exit code -9" in deaths[0]
    assert (await ask(server.port, b"version")).startswith(b"OK ")
    await server.stop()


async def test_it_ends_when_its_parent_is_killed(tmp_path):
    program = (
        "import asyncio\n"
        "from ci_gate.config.settings import GearmanServerSettings\n"
        "from ci_gate.gearman.server_process import ServerProcess\n"
        "async def main():\n"
        f"    server = ServerProcess(GearmanServerSettings(start=True, listen_address={HOST!r}), 0)\n"
        "    await server.start()\n"
        "    print(server.pid, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    async with asyncio.timeout(20):
        while not (line := await parent.stdout.readline()).strip().isdigit():  # logs go there, too
            assert line
    parent.kill()
    await parent.wait()
    await when(lambda: not _lives(int(line)), "the end of the orphan")


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_server_whose_parent_is_killed_while_it_starts_ends_without_a_word():
    command = [sys.executable, "-m", "ci_gate.gearman.server", "--until-stdin-closes", "--port=0"]
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, stderr=PIPE) as child:
        child.stdout.close()
        child.stdin.close()
        child.stdin = None
        told = child.stderr.read()
        child.wait(30)
    assert (child.returncode, told) == (0, b"")
