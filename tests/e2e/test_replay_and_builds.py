"""What a service decided and built is told by commands, while it runs and when it has ended."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE

import pytest
from e2e_site import EXAMPLES, JOB, PROJECT, Site

from ci_gate.sandbox.world import World

pytestmark = pytest.mark.e2e


async def asked(site, command: str, *arguments: str) -> tuple[list[dict], str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ci_gate", command, "-c", str(site.world.config), "--format", "json", *arguments),
        stdout=PIPE,
        stderr=PIPE,
    )
    told, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return [json.loads(line) for line in told.splitlines()], errors.decode()


async def built(site) -> int:
    change = site.upload()
    await site.vote(change.number, +1)
    await site.nothing_left()
    return change.number


@pytest.mark.parametrize(
    "how", [None, *(pytest.param(each, marks=pytest.mark.thorough) for each in (signal.SIGTERM, signal.SIGKILL))]
)
async def test_the_decisions_are_made_again_and_the_build_is_listed(site, how):
    number = await built(site)
    if how is not None:
        await site.world.stop_service(how)
    decisions, summary = await asked(site, "replay", "--change", str(number))
    assert [
        each["code"] for each in decisions if each["code"] in {"entered", "launched", "build-ended", "reported"}
    ] == [*("entered", "launched", "build-ended", "reported")]
    assert [each["text"] for each in decisions if each["code"] == "reported"] == ["reported: SUCCESS"]
    assert "every effect is the one that was recorded" in summary
    (build,) = await listed(site, number)
    assert (build["job_name"], build["result"], build["project"]) == (JOB, "SUCCESS", PROJECT)
    assert build["uuid"] == site.builds(number)[0].parameters["ZUUL_UUID"]
    assert build["start_time"] <= build["end_time"]


async def listed(site, number: int) -> list[dict]:
    """The history follows the journal: while the service runs it may take a moment."""
    async with asyncio.timeout(20):
        while not (found := (await asked(site, "builds", "--change", str(number)))[0]):
            pass
    return found


@pytest.fixture
async def site_on_postgresql(postgresql, tmp_path):
    settings = {("database", "dburi"): postgresql.new_database()}
    async with World(tmp_path, EXAMPLES, settings=settings) as world:
        site = Site(world)
        await site.start()
        yield site


async def test_restarts_are_part_of_the_record_which_may_be_in_postgresql(site_on_postgresql):
    site = site_on_postgresql
    first = await built(site)
    await site.world.stop_service(signal.SIGKILL)
    await site.world.start_service()
    second = await built(site)
    decisions, summary = await asked(site, "replay")
    reported = [each["subject"] for each in decisions if each["code"] == "reported"]
    assert reported == [f"{first},1", f"{second},1"]
    assert "every effect is the one that was recorded" in summary
    assert {each["change"] for each in (await asked(site, "builds"))[0]} >= {first}


async def test_what_another_layout_would_have_done_is_told_while_the_service_runs(site):
    number = await built(site)
    text = (site.world.folder / "layout.yaml").read_text(encoding="utf-8")
    other = site.world.folder / "other.yaml"
    other.write_text(text.replace(f"      - {JOB}\n", f"      - {JOB}\n      - gate-more\n"), encoding="utf-8")
    changes, summary = await asked(site, "replay", "--layout", str(other))
    assert [(each["subject"], each["gained"], each["assumed"], each["lost"]) for each in changes] == [
        (f"{number},1", ["gate-more"], ["gate-more"], [])
    ]
    assert "0 enter more, 0 less, 1 fare otherwise" in summary
    same, summary = await asked(site, "replay", "--layout", str(site.world.folder / "layout.yaml"))
    assert same == []
    assert "nothing would have gone differently" in summary
