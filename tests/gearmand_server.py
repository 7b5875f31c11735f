"""Debian's gearman-job-server for tests: on loopback, at a port of its own, ended with the test."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import time

import pytest

from ci_gate.sandbox.ports import free_port

HOST = "127.0.0.1"
START_S = 15.0
GEARMAND = shutil.which("gearmand", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")

gearmand_is_there = pytest.mark.skipif(GEARMAND is None, reason="gearmand is not installed")


class Gearmand:
    """``stop`` and ``start`` as often as a test likes, at the same port."""

    def __init__(self, *options: str, port: int | None = None) -> None:
        self.port = port or free_port()
        self._options = options
        self._process: subprocess.Popen | None = None

    async def start(self) -> None:
        command = [str(GEARMAND), f"--listen={HOST}", f"--port={self.port}", "--log-file=stderr", *self._options]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        ends_at = time.monotonic() + START_S
        while not self._listens():
            assert self._process.poll() is None, "gearmand has ended"
            assert time.monotonic() < ends_at, f"gearmand does not listen within {START_S:g} s"
            await asyncio.sleep(0.005)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((HOST, self.port)) == 0

    async def stop(self) -> None:
        process, self._process = self._process, None
        if process:
            process.terminate()
            await asyncio.to_thread(process.wait, 10)

    async def break_down(self) -> None:
        self._process.kill()
        await asyncio.to_thread(self._process.wait, 10)
        await self.start()

    async def __aenter__(self) -> Gearmand:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
