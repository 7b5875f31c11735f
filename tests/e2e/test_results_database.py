"""Reports in a results database, which may be away when the service starts."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
from contextlib import closing

import pytest
from e2e_site import EXAMPLES, JOB, PROJECT, Site, when

from ci_gate.sandbox.world import World

pytestmark = pytest.mark.e2e

LAYOUT = f"""
includes: [{{python-file: functions.py}}]
pipelines:
  - name: check
    manager: IndependentPipelineManager
    trigger: {{gerrit: [{{event: patchset-created}}]}}
    success: {{results: {{score: 1}}, gerrit: {{verified: 1}}}}
    failure: {{results: {{score: -1}}, gerrit: {{verified: -1}}}}
jobs: [{{name: ^.*$, parameter-function: set_log_url}}]
projects: [{{name: {PROJECT}, check: [{JOB}]}}]
"""


async def test_votes_do_not_wait_for_a_database_and_no_result_is_lost(tmp_path):
    folder = tmp_path / "database"
    file = folder / "results.db"
    settings = {("connection results", "driver"): "sql", ("connection results", "dburi"): f"sqlite:///{file}"}
    async with World(tmp_path, EXAMPLES, layout=LAYOUT, settings=settings) as world:
        site = Site(world)
        await site.start()
        change = site.upload()
        await site.vote(change.number, +1)
        health = await when(lambda: [each for each in connections(site) if "results" in each.values()], "its health")
        assert health[0]["state"] == "connecting"
        assert "unable to open database file" in world.end_of_log(1000)

        folder.mkdir()
        await site.nothing_left()
        (build,) = site.builds(change.number)
        ((ref, score, message),) = rows(file, "SELECT zuul_ref, score, message FROM zuul_buildset")
        assert (ref, score, message) == (build.parameters["ZUUL_REF"].rpartition("/")[2], 1, "Build succeeded.")
        ((uuid, result, log_url),) = rows(file, "SELECT uuid, result, log_url FROM zuul_build")
        assert (uuid, result) == (build.uuid, "SUCCESS")
        assert f"- {JOB} {log_url} : SUCCESS" in site.ours(change.number)[0], "both name the same log"


def connections(site: Site) -> list[dict]:
    return site.status()["ci_gate"]["connections"]


def rows(file, statement: str) -> list[tuple]:
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(statement).fetchall()


async def test_a_database_that_says_nothing_holds_up_neither_votes_nor_the_end(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        dburi = f"postgresql://ci:hunter2@127.0.0.1:{silent.getsockname()[1]}/results"
        settings = {("connection results", "driver"): "sql", ("connection results", "dburi"): dburi}
        async with World(tmp_path, EXAMPLES, layout=LAYOUT, settings=settings) as world:
            site = Site(world)
            await site.start()
            change = site.upload()
            await site.vote(change.number, +1)
            assert "database results" in [each["owner"] for each in site.status()["ci_gate"]["waits"]]
            async with asyncio.timeout(8):  # less than the driver would wait
                assert await world.stop_service() == 0
            assert "hunter2" not in world.log.read_text(encoding="utf-8")
