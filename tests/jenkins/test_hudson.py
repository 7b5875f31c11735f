"""The bridge on a real server: Hudson 3.3.2, whose remote API is the one that Jenkins kept.

Runs where ``shared/hudson/run`` stands in a folder above the repository, or where ``CI_GATE_HUDSON`` names it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

import jenkins
import pytest
from jenkins_parts import Site, when

from ci_gate.sandbox.ports import free_port

PLACES = [each / "shared" / "hudson" / "run" for each in Path(__file__).parents]
RUN = next((str(each) for each in PLACES if each.is_file()), os.environ.get("CI_GATE_HUDSON"))
MAVEN, JAVA = shutil.which("mvn"), list(Path("/usr/lib/jvm").glob("java-17-openjdk-*"))
JOB = """<?xml version='1.0' encoding='UTF-8'?>
<project>
<properties><hudson.model.ParametersDefinitionProperty><parameterDefinitions>
<hudson.model.StringParameterDefinition><name>SECONDS</name><defaultValue>0</defaultValue>
</hudson.model.StringParameterDefinition></parameterDefinitions></hudson.model.ParametersDefinitionProperty></properties>
<builders><hudson.tasks.Shell><command>test -n "$ZUUL_UUID" &amp;&amp; sleep $SECONDS
test "$ZUUL_CHANGE" != 13
</command></hudson.tasks.Shell></builders></project>"""

pytestmark = [
    pytest.mark.skipif("CI" in os.environ, reason="fetches a server of 31 MB"),
    pytest.mark.skipif(RUN is None, reason="there is no shared/hudson/run"),
    pytest.mark.skipif(not (MAVEN and JAVA), reason="there is no Java 17, or no Maven"),
    pytest.mark.timeout(300),
]


@pytest.fixture(scope="module")
def hudson(tmp_path_factory):
    log = tmp_path_factory.mktemp("log") / "hudson"
    command = [str(RUN), str(tmp_path_factory.mktemp("hudson")), str(free_port())]
    with (
        log.open("wb") as output,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=output, text=True) as process,
    ):
        try:
            ready = next((line for line in process.stdout if line.startswith("READY ")), None)
            assert ready, log.read_text()[-2000:]
            yield "http://" + ready.split("http=")[1].split()[0]
        finally:
            process.terminate()
            process.stdout.close()
            process.wait(30)


@pytest.fixture(scope="module")
def client(hudson):
    client = jenkins.Jenkins(hudson, timeout=30)
    client.create_job("unit", JOB)
    return client


async def test_parameters_are_declared_and_builds_run_and_end(hudson, client):
    async with Site(url=hudson, declare=True) as site:
        good, bad = site.launch(), site.launch(parameters={"ZUUL_CHANGE": "13"})
        assert [(await site.end(each)).result for each in (good, bad)] == ["SUCCESS", "FAILURE"]
        assert site.started(good).url.startswith(f"{hudson}/job/unit/")


async def test_a_build_is_stopped(hudson, client):
    async with Site(url=hudson, declare=True) as site:
        unique = site.launch(parameters={"SECONDS": "600"})
        told = await when(lambda: site.started(unique), "started")
        site.launcher.cancel(unique)
        result = lambda: client.get_build_info("unit", told.number)["result"]  # noqa: E731 - read again and again
        for _ in range(100):
            if await asyncio.to_thread(result):
                break
            await asyncio.sleep(0.1)
        assert await asyncio.to_thread(result) == "ABORTED"


async def test_a_restarted_bridge_finds_its_builds_again(hudson, client):
    async with Site(url=hudson, declare=True) as site:
        running = site.launch(parameters={"SECONDS": "3"})
        told = await when(lambda: site.started(running), "started")
        await site.stop_bridge()
        site.start_bridge()
        end = await site.end(running)
        assert (end.result, end.last.number) == ("SUCCESS", told.number)
