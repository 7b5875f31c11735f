"""A whole site whose job server is encrypted: the service, its built-in server, a worker, and operators' functions."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
from pathlib import Path

import pytest
from e2e_site import EXAMPLES, JOB, PROJECT, Site

from ci_gate.gearman.inquiry import registered_functions
from ci_gate.gearman.job_runner import JobRunner
from ci_gate.job_servers import addresses
from ci_gate.model.build import Precedence
from ci_gate.sandbox.world import World

sys.path.insert(0, str(Path(__file__).parent.parent / "gearman"))

from certificates import Authority

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl command")]


@pytest.fixture
async def encrypted(tmp_path):
    authority = Authority(tmp_path / "certificates")
    files = {name: authority.issue(name) for name in ("gearman", "gearman_server")}
    settings = {
        (section, f"ssl_{kind}"): str(getattr(each, kind))
        for section, each in files.items()
        for kind in ("key", "cert", "ca")
    }
    async with World(tmp_path / "world", EXAMPLES, settings=settings) as world:
        world.gerrit.create_project(PROJECT, {"README": "one\n"})
        await world.start_service()
        site = Site(world)
        site.servers = addresses([("127.0.0.1", world.gearman_port)], files["gearman"])
        yield site


@contextlib.asynccontextmanager
async def worker(site: Site, folder: Path):
    command = ["worker", "--config", str(site.world.config), "--folder", str(folder), "--log-address", "127.0.0.1"]
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ci_gate", *command, "--job", f"{JOB}=true", cwd=folder.parent
    )
    try:
        yield
    finally:
        running.terminate()
        assert await running.wait() == 0


async def test_a_change_is_tested_and_operators_are_answered_over_encrypted_connections(encrypted, tmp_path):
    async with worker(encrypted, tmp_path / "worker"):
        change = encrypted.upload()
        await encrypted.vote(change.number, +1)
    assert f"build:{JOB}" in await registered_functions(encrypted.servers[0])
    runner = JobRunner(encrypted.servers)
    await runner.start()
    try:
        async with asyncio.timeout(20):
            assert await runner.run("zuul:get_running_jobs", b"{}", Precedence.NORMAL) == b"[]"
    finally:
        await runner.stop()
