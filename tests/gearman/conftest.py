"""Job servers of each kind, and a worker; a module with other wishes has fixtures of its own under these names."""

from __future__ import annotations

import asyncio

import pytest
from gearman_parts import SERVERS, Worker


@pytest.fixture(params=SERVERS)
async def server(request):
    made = request.param()
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def worker(server):
    made = await asyncio.to_thread(Worker, server.port, "build:unit", "build:unit:big", "stop:jenkins")
    yield made
    await asyncio.to_thread(made.stop)
