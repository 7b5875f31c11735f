"""The service and its job server tell a statsd server what they do."""

from __future__ import annotations

import asyncio
import socket

import pytest
from e2e_site import EXAMPLES, JOB, PROJECT, Site

from ci_gate.sandbox.world import World

pytestmark = pytest.mark.e2e


async def test_a_change_leaves_its_traces_in_zuuls_names(tmp_path, monkeypatch):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as statsd:
        statsd.bind(("127.0.0.1", 0))
        statsd.setblocking(False)
        monkeypatch.setenv("STATSD_HOST", "127.0.0.1")
        monkeypatch.setenv("STATSD_PORT", str(statsd.getsockname()[1]))
        heard: list[str] = []
        async with World(tmp_path, EXAMPLES) as world:
            listening = asyncio.create_task(listen(statsd, heard))
            site = Site(world)
            await site.start()
            change = site.upload()
            await site.vote(change.number, +1)
            await site.nothing_left()
        listening.cancel()
    names = {each.partition(":")[0] for each in heard}
    pipeline = "zuul.pipeline.check"
    sizes = [each for each in heard if each.startswith(f"{pipeline}.current_changes")]
    assert sizes == [f"{pipeline}.current_changes:{number}|g" for number in (0, 1, 0)]
    assert "gerrit.event.patchset-created:1|c" in heard
    assert f"{pipeline}.all_jobs:1|c" in heard
    assert f"{pipeline}.job.{JOB}.SUCCESS:1|c" in heard
    assert f"{pipeline}.{PROJECT.replace('/', '.')}.total_changes:1|c" in heard
    assert {f"{pipeline}.resident_time", f"{pipeline}.job.{JOB}.wait_time"} <= names
    assert {"zuul.geard.queue.total", "zuul.geard.packet.SUBMIT_JOB"} <= {each.replace("_LOW", "") for each in names}


async def listen(statsd: socket.socket, heard: list[str]) -> None:
    loop = asyncio.get_running_loop()
    while True:
        heard.append((await loop.sock_recv(statsd, 65536)).decode())
