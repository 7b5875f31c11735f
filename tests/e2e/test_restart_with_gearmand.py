"""With gearmand, which keeps no results, a build that ends while the service is down is found at Jenkins."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator

import pytest
from e2e_site import EXAMPLES, JOB, Site, when
from gearmand_server import Gearmand, gearmand_is_there

from ci_gate.sandbox.jenkins_rest import JenkinsRest, RestBuild
from ci_gate.sandbox.world import World

SECTION = "jenkins main"

pytestmark = [pytest.mark.e2e, gearmand_is_there]


class Plugin:
    """The remote API of the Jenkins whose plugin runs the builds."""

    def __init__(self, site: Site, api: JenkinsRest) -> None:
        self.site = site
        self.api = api
        self._job = api.add(f"ci/{JOB}")

    def show(self) -> None:
        """What the API says from now on: the builds as they stand."""
        self._job.builds.clear()
        for build in self.site.jenkins.builds:
            shown = RestBuild(self._job, build.number, build.parameters, 1_600_000_000.0, build.node)
            if build.result:
                shown.end(build.result)
            self._job.builds.insert(0, shown)


@pytest.fixture
async def plugin(tmp_path) -> AsyncIterator[Plugin]:
    """Jobs have one attempt."""
    api = JenkinsRest()
    await api.start()
    settings = {
        ("gearman_server", "start"): "false",
        (SECTION, "url"): api.url,
        (SECTION, "user"): api.user,
        (SECTION, "token"): api.token,
        (SECTION, "job_path"): "**/{job}",
    }
    layout = (EXAMPLES / "layout.yaml").read_text(encoding="utf-8")
    layout = layout.replace("\nprojects:\n", f"  - name: {JOB}\n    attempts: 1\n\nprojects:\n", 1)
    assert "attempts: 1" in layout
    async with (
        Gearmand() as server,
        World(tmp_path / "world", EXAMPLES, settings=settings, layout=layout, gearman_port=server.port) as world,
    ):
        site = Site(world)
        await site.start()
        world.jenkins.add_job(JOB, "test -f good", fetch=False)
        yield Plugin(site, api)
        await world.stop_service()
    await api.stop()


async def begun(site: Site, script: str):
    """A change whose build runs, and stays."""
    site.jenkins.add_job(JOB, script, fetch=False)
    site.jenkins.hold(JOB)
    change = site.upload()
    (build,) = await when(lambda: site.builds(change.number), "its build")
    return change, build


@pytest.mark.parametrize(("script", "vote"), [pytest.param("true", +1, marks=pytest.mark.thorough), ("false", -1)])
async def test_a_build_that_ends_while_the_service_is_down_gives_its_vote_and_ran_once(plugin, script, vote):
    site = plugin.site
    change, build = await begun(site, script)
    await site.world.stop_service(signal.SIGKILL)
    site.jenkins.release(JOB)
    await when(lambda: build.result, "the end that nobody hears")
    plugin.show()
    await site.world.start_service()
    await site.vote(change.number, vote)
    await site.nothing_left()
    assert len(site.builds(change.number)) == 1


async def test_a_build_that_runs_on_is_waited_for_and_ran_once(plugin):
    site = plugin.site
    change, _ = await begun(site, "true")
    plugin.show()
    await site.world.stop_service(signal.SIGKILL)
    await site.world.start_service()
    site.jenkins.release(JOB)
    await site.vote(change.number, +1)
    await site.nothing_left()
    assert len(site.builds(change.number)) == 1


async def test_a_build_that_is_nowhere_runs_again_and_is_no_second_attempt(plugin):
    site = plugin.site
    change, build = await begun(site, "true")
    await site.world.stop_service(signal.SIGKILL)
    site.jenkins.release(JOB)
    await when(lambda: build.result, "the end that nobody hears")
    await site.world.start_service()
    await site.vote(change.number, +1)
    await site.nothing_left()
    assert [each.uuid for each in site.builds(change.number)] == [build.uuid] * 2


async def test_a_jenkins_that_refuses_the_service_costs_a_second_run_but_no_vote(plugin):
    site = plugin.site
    change, build = await begun(site, "true")
    await site.world.stop_service(signal.SIGKILL)
    site.jenkins.release(JOB)
    await when(lambda: build.result, "the end that nobody hears")
    plugin.api.token = "another"
    await site.world.start_service()
    await site.vote(change.number, +1)
    await site.nothing_left()
    assert len(site.builds(change.number)) == 2
