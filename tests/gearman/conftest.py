"""Job servers of each kind, and a worker. Who wants others has a ``server_kind`` of its own, or a ``worker``."""

from __future__ import annotations

import asyncio

import pytest
from gearman_parts import SERVERS, Worker


@pytest.fixture(params=SERVERS)
def server_kind(request):
    return request.param


@pytest.fixture
async def server(server_kind):
    made = server_kind()
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def worker(server):
    made = await asyncio.to_thread(Worker, server.port, "build:unit", "build:unit:big", "stop:jenkins")
    yield made
    await asyncio.to_thread(made.stop)
