"""Builds on a stock Jenkins through its remote API (gearman-jenkins.md part B)."""

from __future__ import annotations

import asyncio
import re

import pytest
from jenkins_parts import Site, when

from ci_gate.model.build import Precedence


@pytest.fixture
def site():
    site = Site()
    site.jenkins.add("unit")
    return site


async def test_a_build_goes_from_the_queue_to_its_result(site):
    site.jenkins.held = True
    async with site:
        unique = site.launch(parameters={"ZUUL_CHANGES": "x" * 20_000, "ZUUL_URL": None})
        await when(lambda: site.jenkins.starts, "request to start")
        path, parameters = site.jenkins.starts[0]
        assert (path, parameters["ZUUL_UUID"], len(parameters["ZUUL_CHANGES"])) == ("unit", unique, 20_000)
        assert site.started(unique) is None
        site.jenkins.held = False
        (build,) = await site.running()
        told = site.started(unique)
        assert (told.number, told.manager, told.node_name) == (1, "main", "master")
        assert told.url == f"{site.jenkins.url}/job/unit/1/"
        await when(lambda: any(each.estimate_s == 60.0 for each in site.updates), "estimate")
        build.end("UNSTABLE")
        end = await site.end(unique)
        assert (end.result, end.last.node_labels) == ("UNSTABLE", ("master",))
    assert len(site.jenkins.starts) == 1


async def test_a_build_that_ends_as_soon_as_it_began_has_begun(site):
    site.jenkins.build_s = 0.0
    async with site:
        unique = site.launch()
        assert (await site.end(unique)).result == "SUCCESS"
        assert site.started(unique).number == 1


@pytest.mark.parametrize(
    ("template", "path", "name"),
    [
        ("ci/{job}", "ci/unit", "unit"),
        ("{job}", "a b/ü&c/unit", "a b/ü&c/unit"),
        ("*/{job}", "lib & tools/unit", "unit"),
        ("**/{job}", "a/b/c/unit", "unit"),
        ("x/{job} | mb/*/{job}", "mb/proj/feature%2Fx", "feature%2Fx"),
    ],
)
async def test_jobs_are_found_in_folders_with_odd_names(template, path, name):
    site = Site(job_path=template)
    site.jenkins.add(path)
    async with site:
        unique = site.launch(name)
        (build,) = await site.running()
        assert build.job.path == tuple(path.split("/"))
        build.end()
        assert (await site.end(unique)).result == "SUCCESS"


async def test_only_jobs_of_the_pattern_are_offered(site):
    site.settings["jobs"] = re.compile("gate-")
    site.jenkins.add("gate-unit")
    async with site:
        await when(lambda: site.bridge.worker.functions, "functions")
        assert site.bridge.worker.functions == {"build:gate-unit"}
        assert (await site.end(site.launch("unit"))).result == "NOT_REGISTERED"


@pytest.mark.parametrize("options", [{"declared": ["ZUUL_CHANGE"]}, {"declared": []}, {"disabled": True}])
async def test_a_job_that_cannot_be_told_apart_or_built_is_not_offered(options):
    site = Site()
    site.jenkins.add("fine")
    site.jenkins.add("unit", **options)
    async with site:
        await when(lambda: site.bridge.worker.functions, "functions")
        assert (await site.end(site.launch("unit"))).result == "NOT_REGISTERED"


async def test_missing_parameters_are_declared_if_asked_for():
    site = Site(node_param="WHERE")
    site.declare = True
    job = site.jenkins.add("unit", declared=["MINE"])
    async with site:
        await when(lambda: "build:unit" in site.bridge.worker.functions, "the job is offered")
        assert job.declared[0] == "MINE"
        assert {"ZUUL_UUID", "ZUUL_CHANGES", "WHERE"} <= set(job.declared)
        assert job.config.startswith("<?xml version='1.1'")


async def test_a_running_build_is_stopped_and_a_pipeline_with_more_and_more_force(site, monkeypatch):
    monkeypatch.setattr("ci_gate.jenkins.following.STOPS", (("stop", 0.0), ("term", 0.1), ("kill", 0.2)))
    site.jenkins.add("pipe", pipeline=True, heeds="kill")
    async with site:
        first, second = site.launch("unit"), site.launch("pipe")
        await site.running(2)
        builds = {each.job.path[0]: each for each in site.jenkins.running}
        site.launcher.cancel(first)
        site.launcher.cancel(second)
        await when(lambda: not site.jenkins.running, "both are stopped")
        assert builds["unit"].signals == ["stop"]
        assert builds["pipe"].signals == ["stop", "term", "kill"]


async def test_a_stop_does_not_hit_another_build_of_the_same_number(site):
    async with site:
        unique = site.launch()
        (build,) = await site.running()
        build.parameters = {"ZUUL_UUID": "somebody else's"}  # the job was made anew, numbers began again
        site.launcher.cancel(unique)
        await when(lambda: not site.bridge._books.active, "the bridge noticed")
        assert build.signals == []


async def test_a_cancelled_build_that_waits_in_jenkins_own_queue_is_taken_out_at_once(site):
    site.jenkins.held = True
    async with site:
        unique = site.launch()
        await when(lambda: site.jenkins.items, "item")
        await when(lambda: [each for each in site.updates if each.uuid == unique], "who has it")
        assert not site.updates[-1].started
        site.launcher.cancel(unique)
        await when(lambda: next(iter(site.jenkins.items.values())).cancelled, "the item to be cancelled")
        await when(lambda: not site.bridge._books.active, "the bridge to forget it")
        site.jenkins.held = False
        other = site.launch()
        (build,) = await site.running()
        assert build.parameters["ZUUL_UUID"] == other
        assert site.ends == {}


async def test_a_build_taken_out_of_the_queue_by_a_person_is_launched_again_by_the_gate(site):
    site.jenkins.held = True
    async with site:
        unique = site.launch()
        await when(lambda: site.jenkins.items, "item")
        item = next(iter(site.jenkins.items.values()))
        item.cancelled, item.left = True, 1e12
        assert (await site.end(unique)).result is None


@pytest.mark.parametrize("item_s", [0.0, 300.0])
async def test_a_build_that_starts_late_is_found_even_when_its_queue_item_has_vanished(site, item_s):
    site.jenkins.queue_s, site.jenkins.item_s = 0.5, item_s
    async with site:
        unique = site.launch()
        (build,) = await site.running()
        build.end()
        assert (await site.end(unique)).result == "SUCCESS"


async def test_a_start_whose_answer_was_lost_is_not_repeated(site):
    site.jenkins.lose_starts = 1
    async with site:
        unique = site.launch()
        (build,) = await site.running()
        build.end()
        assert (await site.end(unique)).result == "SUCCESS"
    assert len(site.jenkins.starts) == 1


async def test_bursts_of_errors_and_a_restart_decide_nothing(site):
    async with site:
        unique = site.launch()
        (build,) = await site.running()
        site.jenkins.statuses += [503, 502, 500, 504, 429]
        await when(lambda: not site.jenkins.statuses, "errors were met")
        await site.jenkins.stop()
        later = site.launch()
        await asyncio.sleep(0.3)  # looks that fail, more than one
        assert not site.ends
        await site.jenkins.start()
        build.end()
        assert (await site.end(unique)).result == "SUCCESS"
        await when(lambda: site.started(later), "the one that waited")


async def test_what_dies_with_jenkins_is_launched_again_but_a_pipeline_goes_on(site):
    site.jenkins.add("pipe", pipeline=True)
    async with site:
        freestyle, pipeline = site.launch("unit"), site.launch("pipe")
        await site.running(2)
        site.jenkins.restart()
        assert (await site.end(freestyle)).result is None
        (build,) = site.jenkins.running
        build.end()
        assert (await site.end(pipeline)).result == "SUCCESS"


async def test_a_password_works_with_crumbs_also_after_their_session_has_ended(site):
    site.jenkins.password = site.settings["token"] = "secret"
    async with site:
        await site.running(0)
        first = site.launch()
        (build,) = await site.running(1)
        build.end()
        await site.end(first)
        site.jenkins.restart()
        second = site.launch()
        await when(lambda: site.started(second), "a build after the crumb was refused")


async def test_a_token_that_expired_is_read_again_and_builds_wait_meanwhile(site, tmp_path):
    file = tmp_path / "token"
    file.write_text("token-1\n")
    site.settings |= {"token": None, "token_file": file}
    async with site:
        first = site.launch()
        (build,) = await site.running()
        site.jenkins.token = "token-2"
        second = site.launch()
        await asyncio.sleep(0.3)  # requests that are refused
        assert not site.ends
        file.write_text("token-2\n")
        build.end()
        assert (await site.end(first)).result == "SUCCESS"
        await when(lambda: site.started(second), "the one that waited")


@pytest.mark.parametrize(
    ("statuses", "result"),
    [([400], "EXCEPTION"), ([500] * 9, "EXCEPTION"), ([409], "NOT_REGISTERED"), ([404] * 9, "NOT_REGISTERED")],
)
async def test_what_jenkins_does_not_take_ends_with_a_result_of_the_gates(site, statuses, result):
    async with site:
        site.jenkins.start_statuses += statuses
        assert (await site.end(site.launch())).result == result


async def test_an_error_inside_jenkins_is_tried_again(site):
    site.jenkins.start_statuses += [500, 500, 500]
    async with site:
        unique = site.launch()
        await when(lambda: site.started(unique), "the third repeat")


async def test_a_bridge_that_was_restarted_takes_up_every_build_and_starts_none_twice(site):
    site.jenkins.held = True
    async with site:
        uniques = [site.launch() for _ in range(2)]
        await when(lambda: len(site.jenkins.items) == 2, "queued")
        site.jenkins.held = False
        await site.running(2)
        site.jenkins.held = True
        third = site.launch()
        await when(lambda: len(site.jenkins.starts) == 3, "third is queued")
        await site.stop_bridge()
        for build in site.jenkins.running:
            build.end()
        site.jenkins.held = False
        site.start_bridge()
        assert [(await site.end(each)).result for each in uniques] == ["SUCCESS", "SUCCESS"]
        await when(lambda: site.started(third), "the one that was queued")
    assert len(site.jenkins.starts) == 3


async def test_builds_wait_at_the_gate_while_jenkins_queue_is_full_and_urgent_ones_overtake(site):
    site.settings["max_queued"] = 1
    site.jenkins.held = True
    async with site:
        site.launch()
        await when(lambda: site.jenkins.starts, "first")
        low = site.launch(precedence=Precedence.LOW)
        high = site.launch(precedence=Precedence.HIGH)
        await when(lambda: site.launcher.state.counts.queued == 3, "all are at the job server")
        site.jenkins.held = False
        await site.running(3)
    assert [parameters["ZUUL_UUID"] for _, parameters in site.jenkins.starts][1:] == [high, low]


async def test_no_more_builds_run_at_a_time_than_their_label_allows():
    site = Site(label_limits={"arm": 1})
    site.jenkins.add("one", label="arm && linux")
    site.jenkins.add("two", label="arm")
    site.jenkins.add("free")
    async with site:
        first, second, free = site.launch("one"), site.launch("two"), site.launch("free")
        await when(lambda: site.started(free), "without the label")
        await when(lambda: site.started(first) or site.started(second), "one of them")
        await asyncio.sleep(0.3)  # time in which the other could start
        (running,) = [each for each in site.jenkins.running if each.job.label]
        running.end()
        await when(lambda: site.started(first) and site.started(second), "the other")


async def test_a_node_goes_by_a_parameter_and_is_taken_offline_afterwards():
    site = Site(node_param="WHERE", offline_nodes=True)
    site.jenkins.nodes["node-7"] = (1, ("node-7", "gpu"))
    site.jenkins.add("unit", declared=["ZUUL_UUID", "WHERE", "OFFLINE_NODE_WHEN_COMPLETE"], label="gpu")
    async with site:
        parameters = {"ZUUL_NODE": "gpu", "OFFLINE_NODE_WHEN_COMPLETE": "1"}
        unique = site.launch(parameters=parameters, node="gpu")
        (build,) = await site.running()
        assert build.parameters["WHERE"] == "gpu"
        build.end()
        end = await site.end(unique)
        assert end.last.node_name == "node-7"
        await when(lambda: "node-7" in site.jenkins.offline, "offline")


async def test_nothing_is_started_while_jenkins_is_about_to_shut_down(site):
    site.jenkins.quieting_down = True
    async with site:
        site.launch()
        await when(lambda: site.launcher.state.counts.queued, "it waits at the job server")
        await asyncio.sleep(0.3)  # looks at Jenkins, more than one
        assert not site.jenkins.starts
        site.jenkins.quieting_down = False
        await site.running()


async def test_many_builds_in_five_folders_cost_few_requests(site):
    site = Site(job_path="*/{job}", poll_interval_s=1.0, max_queued=500)
    for number in range(50):
        site.jenkins.add(f"folder {number % 5}/job-{number}")
    async with site:
        for number in range(200):
            site.launch(f"job-{number % 50}")
        await site.running(200)
        before = site.bridge.http.count
        await asyncio.sleep(3.0)
        assert site.bridge.http.count - before <= 30
        for build in site.jenkins.running:
            build.end()
        await when(lambda: len(site.ends) == 200, "all have ended")
    assert len(site.jenkins.starts) == 200
    assert {each.result for each in site.ends.values()} == {"SUCCESS"}
