"""``stop:main`` and ``set_description:main``, asked for as a gate does, also by what a bridge before this one knew."""

from __future__ import annotations

import asyncio
import json
import time

import gear
import pytest
from jenkins_parts import HOST, Site, when

from ci_gate.sandbox.jenkins_rest import RestBuild, RestItem

OURS, OTHERS = "a" * 32, "b" * 32


@pytest.fixture
async def site():
    made = Site()
    made.jenkins.add("unit")
    async with made:
        await when(lambda: "build:unit" in made.bridge.worker.functions, "the job is offered")
        yield made


@pytest.fixture
async def ask(site):
    """Ask the manager for something; whether it was done."""
    client = gear.Client()
    client.addServer(HOST, site.server.port)
    await asyncio.to_thread(client.waitForServer)

    async def asked(verb: str, **wanted: object) -> bool:
        job = gear.Job(f"{verb}:main", json.dumps({"name": "unit"} | wanted).encode())
        await asyncio.to_thread(client.submitJob, job)
        await when(lambda: job.complete, "an answer")
        return not job.failure

    yield asked
    await asyncio.to_thread(client.shutdown)


def build(site, uuid: str | None, number: int = 7) -> RestBuild:
    """One that no bridge that runs now has started."""
    job = site.jenkins.jobs["unit",]
    made = RestBuild(job, number, {"ZUUL_UUID": uuid} if uuid else {}, time.time())
    job.builds.insert(0, made)
    return made


@pytest.mark.parametrize("named", [{}, {"uuid": OURS}])
async def test_a_build_of_a_bridge_before_is_stopped_by_its_number(site, ask, named):
    running = build(site, OURS)
    assert await ask("stop", number=7, **named)
    assert running.signals == ["stop"]


@pytest.mark.parametrize(("runs", "named"), [(OTHERS, {"uuid": OURS}), (None, {"uuid": OURS}), (None, {})])
async def test_what_has_the_number_now_is_left_alone(site, ask, runs, named):
    running = build(site, runs)
    assert not await ask("stop", number=7, **named)
    assert not await ask("stop", number=8, **named)
    assert running.signals == []


async def test_a_build_of_this_bridge_is_not_stopped_for_another_of_its_number(site, ask):
    site.launch()
    (running,) = await site.running()
    assert not await ask("stop", number=running.number, uuid=OTHERS)
    assert await ask("stop", number=running.number)
    await when(lambda: running.signals, "the stop")


async def test_what_still_waits_for_a_bridge_before_is_taken_out_of_jenkins_queue(site, ask):
    site.jenkins.held = True
    item = RestItem(50, site.jenkins.jobs["unit",], {"ZUUL_UUID": OURS}, time.time())
    site.jenkins.items[item.id] = item
    assert not await ask("stop", uuid=OTHERS)
    assert not item.cancelled
    assert await ask("stop", uuid=OURS)
    assert item.cancelled


async def test_a_build_is_described_while_it_runs_and_after_its_end(site, ask):
    unique = site.launch()
    (running,) = await site.running()
    assert await ask("set_description", number=running.number, html_description="<b>now</b>")
    assert running.description == "<b>now</b>"
    running.end()
    await site.end(unique)
    assert await ask("set_description", number=running.number, html_description="then")
    running.parameters = {"ZUUL_UUID": OTHERS}  # the job was made anew, numbers began again
    assert not await ask("set_description", number=running.number, html_description="wrong")
    assert running.description == "then"


async def test_what_no_gate_started_is_not_described(site, ask):
    running = build(site, None)
    assert not await ask("set_description", number=7, html_description="wrong")
    assert running.description == ""


@pytest.mark.parametrize("wanted", [{}, {"number": "x"}, {"number": None}, {"name": "missing", "number": 1}])
async def test_a_request_that_means_nothing_is_refused(site, ask, wanted):
    assert not await ask("stop", **wanted)
    assert not await ask("set_description", **wanted)


async def test_times_are_jenkins_own_by_the_gates_clock(site):
    site.jenkins.clock_skew_s = 3600.0
    unique = site.launch()
    (running,) = await site.running()
    running.started -= 50.0
    running.end()
    end = await site.end(unique)
    assert end.last.started_at == pytest.approx(running.started, abs=2.5)  # Jenkins says whole seconds
    assert end.ended_at - end.last.started_at == pytest.approx(running.ended - running.started, abs=0.01)


async def test_more_parameters_than_an_address_can_hold_arrive_whole(site):
    changes = "^".join(f"project:master:refs/changes/01/{number}/1" for number in range(1000))
    site.launch(parameters={"ZUUL_CHANGES": changes})
    (running,) = await site.running()
    assert running.parameters["ZUUL_CHANGES"] == changes
