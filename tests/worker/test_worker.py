"""``ci-gate worker``: commands as jobs, over a real job server, in clones of a real repository."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import time
import urllib.request
import uuid

import pytest
from gear import constants

from ci_gate.config.settings import GearmanSettings
from ci_gate.gearman.job_server import JobServer
from ci_gate.gearman.launcher import GearmanLauncher
from ci_gate.gearman.packets import PacketStream
from ci_gate.gearman.times import LauncherTimes
from ci_gate.job_servers import Address
from ci_gate.model.build import BuildRequest
from ci_gate.worker.build import Place
from ci_gate.worker.command import CommandError, checkout_of, environment_of, job_command, log_path_of
from ci_gate.worker.logs import LogServer
from ci_gate.worker.serving import LOG_NAME, CommandWorker, WorkerSettings

HOST = "127.0.0.1"
DEADLINE_S = 15.0


async def when(condition, what):
    ends_at = time.monotonic() + DEADLINE_S
    while not (answer := condition()):
        assert time.monotonic() < ends_at, f"{what}: not within {DEADLINE_S:g} s"
        await asyncio.sleep(0.01)
    return answer


class Site:
    def __init__(self, folder, jobs, timeout_s) -> None:
        self.logs = folder / "logs"
        for each in (self.logs, folder / "workspaces"):
            each.mkdir()
        self.workspaces = folder / "workspaces"
        self._jobs, self._timeout_s = jobs, timeout_s
        self.updates, self.ends = [], {}

    async def __aenter__(self):
        self.server = JobServer(HOST, 0)
        self.log_server = LogServer(self.logs, LOG_NAME)
        await self.log_server.start(HOST, 0)
        self.url = f"http://{HOST}:{self.log_server.port}/"
        settings = WorkerSettings(
            "box",
            [job_command(each) for each in self._jobs],
            1,
            self.logs,
            self.url,
            Place(self.workspaces, self._timeout_s),
        )
        self._task = asyncio.create_task(
            CommandWorker(settings, [Address(HOST, self.server.port)], reconnect_s=0.05).run()
        )
        times = LauncherTimes(list_stable=0.3, list_age=0.1, reconnect=0.05, retry=0.05)
        self.launcher = GearmanLauncher(
            GearmanSettings(HOST, self.server.port),
            on_update=self.updates.append,
            on_end=lambda end: self.ends.update({end.uuid: end}),
            times=times,
        )
        await self.launcher.start()
        return self

    async def __aexit__(self, *_):
        await self.launcher.stop()
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self.log_server.stop()
        await asyncio.to_thread(self.server.shutdown)

    async def run(self, job="unit", **parameters):
        unique = self.launch(job, **parameters)
        return await when(lambda: self.ends.get(unique), "the end")

    def launch(self, job="unit", **parameters):
        unique = uuid.uuid4().hex
        self.launcher.launch(BuildRequest(unique, job, {"ZUUL_UUID": unique} | parameters))
        return unique

    def read(self, url):
        with urllib.request.urlopen(url, timeout=5) as answer:
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            return answer.read().decode()


@pytest.fixture
def site(tmp_path):
    def make(*jobs, timeout_s=10.0):
        return Site(tmp_path, jobs, timeout_s)

    return make


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "git" / "demo"
    folder.mkdir(parents=True)

    def git(*arguments):
        identity = ("-c", "user.name=x", "-c", "user.email=x@example.org")
        return subprocess.run(
            ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
        ).stdout

    git("init", "-q", "-b", "master")
    (folder / "file").write_text("merged\n")
    git("add", ".")
    git("commit", "-qm", "one")
    git("update-ref", "refs/zuul/master/Z1", "HEAD")
    commit = git("rev-parse", "HEAD").strip()
    return {
        "ZUUL_URL": f"file://{tmp_path}/git",
        "ZUUL_PROJECT": "demo",
        "ZUUL_REF": "refs/zuul/master/Z1",
        "ZUUL_COMMIT": commit,
    }


async def test_a_command_runs_in_a_fresh_clone_and_its_log_is_where_the_pattern_says(site, repository):
    async with site('unit=cat file; echo "pipeline $ZUUL_PIPELINE"') as running:
        end = await running.run(**repository, ZUUL_PIPELINE="check", LOG_PATH="10/110/1/check/unit/abc1234")
        assert end.result == "SUCCESS"
        assert end.last.url == f"{running.url}10/110/1/check/unit/abc1234/"
        text = await asyncio.to_thread(running.read, end.last.url)
        assert "merged\npipeline check\n" in text
        assert text.endswith("Finished: SUCCESS\n")
        assert not list(running.workspaces.iterdir())


async def test_a_client_hears_of_a_build_in_the_plugins_order(site):
    """The start, one status without an estimate, the end (gearman-jenkins.md 4 and 6.3)."""
    async with site("unit=true") as running:
        client = await PacketStream.connect(Address(HOST, running.server.port))
        await client.send(constants.SUBMIT_JOB, b"build:unit", uuid.uuid4().hex.encode(), b"{}")
        created, start, status, end = [await client.receive() for _ in range(4)]
        client.close()
    assert [each.kind for each in (created, start)] == [constants.JOB_CREATED, constants.WORK_DATA]
    told = json.loads(start.arguments(2)[1])
    assert told == {
        "name": "unit", "number": told["number"], "manager": "box", "worker": "box", "node_name": "box",
        "url": told["url"],
    }  # fmt: skip
    assert (status.kind, status.arguments(3)[2]) == (constants.WORK_STATUS, b"-1")
    assert (end.kind, json.loads(end.arguments(2)[1])) == (constants.WORK_COMPLETE, told | {"result": "SUCCESS"})


async def test_a_command_that_fails_and_one_whose_ref_is_gone_are_failures(site, repository):
    async with site("unit=exit 3") as running:
        assert (await running.run()).result == "FAILURE"
        assert (await running.run(**repository | {"ZUUL_REF": "refs/zuul/master/Zgone"})).result == "FAILURE"


async def test_a_command_that_takes_too_long_ends_with_all_that_it_started(site, tmp_path):
    async with site(f"unit=sleep 600 & echo $! > {tmp_path}/child; wait", timeout_s=1.0) as running:
        assert (await running.run()).result == "TIMED_OUT"
        await when(lambda: not alive(int((tmp_path / "child").read_text())), "the child's end")


async def test_a_build_is_stopped(site, tmp_path):
    async with site(f"unit=echo $$ > {tmp_path}/child; sleep 600") as running:
        unique = running.launch()
        await when(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text(), "the command")
        await when(lambda: [each for each in running.updates if each.started], "the number")
        running.launcher.cancel(unique)
        await when(lambda: not alive(int((tmp_path / "child").read_text())), "the command's end")


async def test_no_more_builds_run_at_a_time_than_there_are_slots(site, tmp_path):
    command = f"unit=test ! -e {tmp_path}/busy && touch {tmp_path}/busy && sleep 0.1 && rm {tmp_path}/busy"
    async with site(command) as running:
        uniques = [running.launch() for _ in range(4)]
        await when(lambda: len(running.ends) == 4, "all")
        assert [running.ends[each].result for each in uniques] == ["SUCCESS"] * 4


@pytest.mark.parametrize("path", ["../x", "/etc", "a//b", "a/..", "a/.ssh", "a\0b"])
def test_no_log_is_written_outside_of_the_logs(path):
    with pytest.raises(CommandError):
        log_path_of({"LOG_PATH": path}, "unit", "f" * 32)


def test_a_parameter_cannot_change_which_programs_run():
    given = {"PATH": "/tmp", "LD_PRELOAD": "x", "GIT_SSH_COMMAND": "x", "lower": "x", "ZUUL_BRANCH": "b", "MINE": "1"}
    assert environment_of(given, {"PATH": "/bin"}) == {"PATH": "/bin", "ZUUL_BRANCH": "b", "MINE": "1"}


@pytest.mark.parametrize(
    "changes", [{"ZUUL_REF": "--upload-pack=x"}, {"ZUUL_URL": "ext::sh -c x"}, {"ZUUL_COMMIT": "-f"}]
)
def test_what_git_would_take_for_an_option_or_a_command_is_refused(changes):
    with pytest.raises(CommandError):
        checkout_of({"ZUUL_URL": "http://h/p", "ZUUL_PROJECT": "demo", "ZUUL_REF": "master"} | changes)


@pytest.mark.parametrize("text", ["unit", "=true", "unit=", "a:b=true"])
def test_a_job_without_name_or_command_is_refused(text):
    with pytest.raises(CommandError, match="NAME=COMMAND"):
        job_command(text)


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    with contextlib.suppress(OSError), open(f"/proc/{process}/stat") as stat:  # noqa: PTH123 - read as the kernel gives it
        return stat.read().split()[2] != "Z"
    return False
