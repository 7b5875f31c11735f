"""The site of the crash tests: a check, a gate over two projects, and pushes to a third; only the service ever dies."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
import time
import urllib.request
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from contextlib import closing, suppress
from enum import StrEnum
from http.client import HTTPException
from pathlib import Path
from typing import Self

from gearmand_server import Gearmand

from ci_gate.failpoints import VARIABLE
from ci_gate.sandbox.jenkins import Build
from ci_gate.sandbox.world import CI_ACCOUNT, World

EXAMPLES = Path(__file__).parent.parent.parent / "etc"
ONE, TWO, PUSHED = "org/one", "org/two", "org/pushed"
CHECK_JOB, GATE_JOB, PUSH_JOB = "check-job", "gate-job", "push-job"
DEADLINE_S = 60.0
LAYOUT = f"""
pipelines:
  - name: check
    manager: IndependentPipelineManager
    success-message: Checked.
    failure-message: Checked.
    trigger:
      gerrit:
        - event: patchset-created
        - {{event: comment-added, comment_filter: '(?im)^\\s*recheck\\s*$'}}
    success: {{gerrit: {{Verified: 1}}, results: {{score: 1}}}}
    failure: {{gerrit: {{Verified: -1}}, results: {{score: -1}}}}
  - name: gate
    manager: DependentPipelineManager
    success-message: Gated.
    failure-message: Gated.
    trigger: {{gerrit: [{{event: comment-added, approval: [{{Workflow: 1}}]}}]}}
    require: {{approval: [{{Workflow: 1}}]}}
    start: {{gerrit: {{Verified: 0}}}}
    success: {{gerrit: {{Verified: 2, submit: true}}, results: {{score: 1}}}}
    failure: {{gerrit: {{Verified: -2}}, results: {{score: -1}}}}
  - name: post
    manager: IndependentPipelineManager
    trigger: {{gerrit: [{{event: ref-updated, ref: ^refs/heads/master$}}]}}
    success: {{results: {{score: 1}}}}
    failure: {{results: {{score: -1}}}}
projects:
  - {{name: {ONE}, check: [{CHECK_JOB}], gate: [{GATE_JOB}]}}
  - {{name: {TWO}, check: [{CHECK_JOB}], gate: [{GATE_JOB}]}}
  - {{name: {PUSHED}, post: [{PUSH_JOB}]}}
"""


class JobServer(StrEnum):
    """``INSIDE``: the service's child, which dies with it. The others live on; gearmand keeps no results meanwhile."""

    INSIDE = "inside"
    APART = "apart"
    GEARMAND = "gearmand"


class CrashSite:
    """``apart``: the job server is a process of its own."""

    def __init__(self, folder: Path, job_server: JobServer) -> None:
        self.kind = job_server
        self.apart = apart = job_server is not JobServer.INSIDE
        self.results = folder / "results.sqlite"
        settings = {
            ("gearman_server", "start"): str(not apart).lower(),
            ("connection results", "driver"): "sql",
            ("connection results", "dburi"): f"sqlite:///{self.results}",
            ("zuul", "replication_retry_interval"): "1",
        }
        self.world = World(folder, EXAMPLES, layout=LAYOUT, settings=settings, may_submit=True)
        self.gerrit, self.jenkins = self.world.gerrit, self.world.jenkins
        self._job_server: Process | Gearmand | None = None

    async def __aenter__(self) -> Self:
        await self.world.__aenter__()
        self.gerrit.create_account("boss", votes={"Code-Review": (-2, 2), "Workflow": (-1, 1)})
        for project in (ONE, TWO, PUSHED):
            self.gerrit.create_project(project, {"README": "x\n"})
        for job in (CHECK_JOB, GATE_JOB, PUSH_JOB):
            # The refs are the service's: builds that outlive it cannot fetch them.
            self.jenkins.add_job(job, _outcome if self.apart else "test ! -e broken", fetch=not self.apart)
        if self.kind is JobServer.GEARMAND:
            self._job_server = Gearmand(port=self.world.gearman_port)
            await self._job_server.start()
        elif self.kind is JobServer.APART:
            command = [sys.executable, "-m", "ci_gate", "gearman", "--config", str(self.world.config)]
            self._job_server = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
            assert self._job_server.stdout is not None
            assert (await self._job_server.stdout.readline()).startswith(b"listening")
        await self.world.start_service()
        # A push is known by where the branch was before, which the first look of all finds out.
        await when(lambda: self.status()["ci_gate"]["catch_ups"][0]["at"], "the first look at branches")
        await self.jenkins.start()
        await self.jenkins.ready()
        return self

    async def __aexit__(self, *problem: object) -> None:
        await self.world.__aexit__(*problem)
        if isinstance(self._job_server, Gearmand):
            await self._job_server.stop()
        elif self._job_server is not None:
            with suppress(ProcessLookupError):
                self._job_server.terminate()
            await self._job_server.wait()

    async def spawn(self, failpoint: str | None = None) -> None:
        await self.world.spawn_service(environment={VARIABLE: failpoint} if failpoint else {})

    # --- what people see ---

    def reports(self, number: int, beginning: str) -> list[int]:
        """Patch sets of the service's messages on a change that begin so, in order."""
        found = [each for each in self.gerrit.messages(number) if each.by.username == CI_ACCOUNT]
        return [each.patch_set for each in found if each.text.split("\n\n", 1)[-1].startswith(beginning)]

    def last_of(self, number: int, *beginnings: str) -> str:
        """How the last of such messages on a change begins."""
        found = [each.text.split("\n\n", 1)[-1] for each in self.gerrit.messages(number)]
        return next(each for text in reversed(found) for each in beginnings if text.startswith(each))

    def vote(self, number: int) -> int | None:
        return self.gerrit.votes(number, "Verified").get(CI_ACCOUNT)

    def status(self) -> dict:
        with urllib.request.urlopen(f"{self.world.url}status.json", timeout=10) as answer:
            return json.load(answer)

    def is_serving(self) -> bool:
        try:
            self.status()
        except (OSError, HTTPException, ValueError):  # not yet, or it died while it answered
            return False
        return True

    def rows(self, statement: str) -> list[tuple]:
        """Of the results database; none before its tables are there."""
        try:
            with closing(sqlite3.connect(f"file:{self.results}?mode=ro", uri=True)) as connection:
                return connection.execute(statement).fetchall()
        except sqlite3.OperationalError:
            return []

    def pushes_recorded(self) -> list[str]:
        """The revisions with a record of the post pipeline, in order."""
        builds = {each.uuid: each.parameters.get("ZUUL_NEWREV", "") for each in self.jenkins.builds}
        rows = self.rows(
            "SELECT zuul_build.uuid FROM zuul_build JOIN zuul_buildset ON buildset_id = zuul_buildset.id "
            "WHERE pipeline = 'post' ORDER BY zuul_build.id"
        )
        return [builds[uuid] for (uuid,) in rows]

    def gate_builds(self, number: int) -> list[Build]:
        return [
            each
            for each in self.jenkins.builds
            if each.job == GATE_JOB and each.parameters["ZUUL_CHANGE"] == str(number) and each.result == "SUCCESS"
        ]

    def merged_tree(self, build: Build) -> str:
        """Of the state that a build was for, as the service published it."""
        repository = self.world.folder / "state" / "git" / build.parameters["ZUUL_PROJECT"] / ".git"
        return git(repository, "rev-parse", f"{build.parameters['ZUUL_COMMIT']}^{{tree}}")

    def branch(self, project: str) -> list[str]:
        """The states that master has had, oldest first."""
        told = git(self.gerrit.repository_path(project), "rev-list", "--first-parent", "--reverse", "master")
        return told.split()


def git(repository: Path, *arguments: str) -> str:
    command = ["git", "--git-dir", str(repository), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _outcome(parameters, _workspace) -> str:
    time.sleep(0.05)
    return "FAILURE" if parameters.get("ZUUL_BRANCH") == "never" else "SUCCESS"


async def when(condition: Callable[[], object], what: str, within_s: float = DEADLINE_S) -> None:
    ends_at = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < ends_at, f"{what}: not within {within_s:g} s"
        await asyncio.sleep(0.05)
