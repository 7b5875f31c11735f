"""A live service and its shadow on one simulated Gerrit."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path

from e2e_site import EXAMPLES, JOB, PROJECT, Site, when

from ci_gate.sandbox.gerrit import HOST
from ci_gate.sandbox.ports import free_port
from ci_gate.sandbox.world import CI_ACCOUNT, World, with_values

SHADOW = "shadow-ci"

LAYOUT = f"""
pipelines:
  - name: check
    manager: IndependentPipelineManager
    trigger: {{gerrit: [{{event: patchset-created}}, {{event: comment-added, comment: (?im)^recheck$}}]}}
    success: {{gerrit: {{Verified: 1}}}}
    failure: {{gerrit: {{Verified: -1}}}}
  - name: gate
    manager: DependentPipelineManager
    trigger: {{gerrit: [{{event: comment-added, approval: [{{Workflow: 1}}]}}]}}
    start: {{gerrit: {{Verified: 0}}}}
    success: {{gerrit: {{Verified: 2, submit: true}}}}
    failure: {{gerrit: {{Verified: -2}}}}
projects:
  - name: {PROJECT}
    check: [{JOB}]
    gate: [{JOB}]
"""


class ShadowSite(Site):
    """The live service is the world's; the shadow has folders, ports and (to be told apart) an account of its own."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.folder = world.folder / "shadow"
        self.config = self.folder / "ci.conf"
        self.port = free_port()
        self._process: Process | None = None
        self.calls_at_the_job_server = 0
        self._trap: asyncio.Server | None = None

    async def watch_job_server(self) -> int:
        """A port in the job server's place, for the shadow's configuration: whoever calls there is counted."""

        def called(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.calls_at_the_job_server += 1
            writer.close()

        server = await asyncio.start_server(called, HOST, 0)
        self._trap = server
        port: int = server.sockets[0].getsockname()[1]
        return port

    @property
    def log(self) -> Path:
        return self.folder / "service.log"

    async def prepare_shadow(self, layout: str = LAYOUT, *, account: str = SHADOW) -> None:
        """``account`` is as whom it logs in; as the live system it need not be told who that is."""
        self.folder.mkdir(exist_ok=True)
        state = self.folder / "state"
        self.write_layout(layout)
        values = {
            ("gerrit", "user"): account,
            ("gerrit", "sshkey"): str(self.gerrit.key_file(account)),
            ("zuul", "layout_config"): str(self.folder / "layout.yaml"),
            ("zuul", "state_dir"): str(state),
            ("zuul", "git_dir"): str(state / "git"),
            ("webapp", "port"): str(self.port),
            ("gearman", "port"): str(await self.watch_job_server()),
        }
        if account != CI_ACCOUNT:
            values["zuul", "shadow_account"] = CI_ACCOUNT
        text = with_values(self.world.config.read_text(), values, without=set())
        self.config.write_text(text)

    def write_layout(self, layout: str) -> None:
        (self.folder / "layout.yaml").write_text(layout)

    async def start_shadow(self) -> None:
        listening = self.gerrit.listeners
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "ci_gate", "serve", "--config", str(self.config), "--shadow",
                stdin=DEVNULL, stdout=log, stderr=log, env=os.environ | {"STATSD_HOST": ""},
            )  # fmt: skip
        await when(lambda: self.gerrit.listeners > listening or self._process.returncode is not None, "the shadow")
        assert self._process.returncode is None, self.log.read_text()
        await when(self._serves, "the shadow's status page")

    def _serves(self) -> bool:
        try:
            return bool(self.shadow_status())
        except OSError:
            return False

    def shadow_status(self) -> dict:
        return self.read_json(f"http://{HOST}:{self.port}/status.json")

    def shadow_items(self) -> list[str]:
        queues = [queue for pipeline in self.shadow_status()["pipelines"] for queue in pipeline["change_queues"]]
        return [item["id"] for queue in queues for head in queue["heads"] for item in head if item["jobs"][0]["uuid"]]

    async def stop_shadow(self, number: int = signal.SIGTERM) -> None:
        """For the time being, or for good."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.send_signal(number)
            assert await process.wait() == (0 if number == signal.SIGTERM else -number)

    def close(self) -> None:
        if self._trap is not None:
            self._trap.close()

    async def report(self, *arguments: str) -> tuple[int, dict]:
        """Exit status and document of ``ci-gate shadow report``."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "ci_gate", "shadow", "report", "--config", str(self.config), "--format", "json",
            *arguments, stdout=PIPE, stderr=PIPE,
        )  # fmt: skip
        answer, errors = await process.communicate()
        assert answer, errors.decode()
        return process.returncode, json.loads(answer)

    async def compared(self, count: int, *, differences: int = 0, **expected: int) -> tuple[int, dict]:
        """The report once it has so many items and differences."""
        for _ in range(100):
            status, found = await self.report()
            if (found["compared"], len(found["differences"])) == (count, differences):
                return status, found
            await asyncio.sleep(0.1)
        raise AssertionError(f"{found}\n{self.log.read_text()[-6000:]}")

    def commands_of_the_shadow(self) -> list[str]:
        return [each.line for each in self.gerrit.received if each.username == SHADOW]


async def make_site(world: World) -> ShadowSite:
    site = ShadowSite(world)
    world.gerrit.create_account(SHADOW, votes={"Verified": (-2, 2)}, may_submit=True)
    world.gerrit.create_account("boss", votes={"Code-Review": (-2, 2), "Workflow": (-1, 1)})
    await site.start()
    return site


def world_in(folder: Path) -> World:
    settings = {("zuul", "replication_retry_interval"): "1"}
    return World(folder, EXAMPLES, layout=LAYOUT, settings=settings, may_submit=True)
