"""A whole site in a folder: a simulated Gerrit, simulated Jenkins workers, and the service between them.

For the demo, the end-to-end tests and the benchmarks. The service is a process of its own, started by its command
with the example configuration, changed only where the sandbox's addresses have to stand; everything it learns of
this world comes over SSH, Gearman and HTTP.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Self

from ci_gate.sandbox.gerrit import HOST, SandboxGerrit
from ci_gate.sandbox.jenkins import Jenkins, Node
from ci_gate.sandbox.ports import free_port

CI_ACCOUNT = "demo-ci"
START_S = 30.0
STOP_S = 20.0

LOG_CONFIGS = frozenset({("zuul", "log_config"), ("gearman_server", "log_config")})

Values = Mapping[tuple[str, str], str]


class WorldError(Exception):
    """The service did not start or stop as it should; the text has the end of its log."""


class World:
    """``examples`` is the folder with ci.conf, layout.yaml and functions.py; ``vendor`` goes into recheck-VENDOR.

    ``settings`` are values for (section, key) of ci.conf besides those that the sandbox needs. ``may_submit``: the CI
    account may give the highest votes, and merge.
    """

    def __init__(
        self,
        folder: Path,
        examples: Path,
        *,
        vendor: str = "DEMO",
        layout: str | None = None,
        settings: Values | None = None,
        executors: int = 4,
        gearman_port: int | None = None,
        may_submit: bool = False,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.log = folder / "service.log"
        self.config = folder / "ci.conf"
        self.web_port = free_port()
        self.gearman_port = gearman_port or free_port()
        self.gerrit = SandboxGerrit(folder / "gerrit")
        self.jenkins = Jenkins(
            self.gearman_port,
            nodes=[Node("node-1", executors=executors)],
            log_dir=folder / "logs",
            reconnect_s=0.1,
        )
        self._process: Process | None = None
        self._examples = examples
        self._may_submit = may_submit
        self._settings = dict(settings or {})
        text = layout if layout is not None else (examples / "layout.yaml").read_text(encoding="utf-8")
        (folder / "layout.yaml").write_text(text.replace("VENDOR", vendor), encoding="utf-8")
        functions = (examples / "functions.py").read_text(encoding="utf-8")
        (folder / "functions.py").write_text(functions, encoding="utf-8")

    async def __aenter__(self) -> Self:
        """Gerrit runs and has its CI account; the service is configured, not started."""
        await asyncio.to_thread(self.gerrit.start)
        highest = 2 if self._may_submit else 1
        votes = {"Verified": (-highest, highest)}
        self.gerrit.create_account(CI_ACCOUNT, name="Demo CI", votes=votes, may_submit=self._may_submit)
        self.gerrit.create_account("dev", may_push=True, may_abandon=True)
        self.write_config()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.jenkins.stop()
        await self.stop_service()
        await asyncio.to_thread(self.gerrit.stop)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.web_port}/"

    @property
    def pid(self) -> int:
        """The service's process id."""
        if self._process is None:
            raise WorldError("the service does not run")
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Has the service been started, and not ended yet?"""
        return self._process is not None and self._process.returncode is None

    def send_signal(self, number: int) -> None:
        """Send the service a signal."""
        os.kill(self.pid, number)

    def hang_up(self) -> None:
        """Tell the service to read its files again."""
        self.send_signal(signal.SIGHUP)

    def write_config(self) -> None:
        state = self.folder / "state"
        values = {
            ("gearman", "server"): HOST,
            ("gearman", "port"): str(self.gearman_port),
            ("gearman_server", "listen_address"): HOST,
            ("gerrit", "server"): HOST,
            ("gerrit", "port"): str(self.gerrit.port),
            ("gerrit", "user"): CI_ACCOUNT,
            ("gerrit", "sshkey"): str(self.gerrit.key_file(CI_ACCOUNT)),
            ("gerrit", "baseurl"): f"http://{HOST}",
            ("zuul", "layout_config"): str(self.folder / "layout.yaml"),
            ("zuul", "state_dir"): str(state),
            ("zuul", "git_dir"): str(state / "git"),
            ("zuul", "zuul_url"): f"{self.url}p",
            ("zuul", "status_url"): self.url,
            ("webapp", "listen_address"): HOST,
            ("webapp", "port"): str(self.web_port),
        }
        example = (self._examples / "ci.conf").read_text(encoding="utf-8")
        text = with_values(example, values | self._settings, without=LOG_CONFIGS)
        self.config.write_text(text, encoding="utf-8")

    async def start_service(self, *arguments: str) -> None:
        """Start ``ci-gate serve`` and wait until it listens to Gerrit and serves its page."""
        await self.spawn_service(*arguments)
        await self.service_ready()

    async def spawn_service(self, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        """Start ``ci-gate serve`` and wait for nothing; ``environment`` is given to it besides our own."""
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "ci_gate", "serve", "--config", str(self.config), *arguments]
            self._process = await asyncio.create_subprocess_exec(
                *command,
                stdin=DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={**os.environ, **(environment or {})},
            )

    async def service_ready(self) -> None:
        """Wait until the service listens to Gerrit and serves its page. Raises WorldError if it ends, or never does."""
        if self._process is None:
            raise WorldError("the service does not run")
        try:
            async with asyncio.timeout(START_S):
                while not (self.gerrit.listeners and await self._serves()):
                    if self._process.returncode is not None:
                        raise WorldError(f"the service ended at once:\n{self.end_of_log()}")
                    await asyncio.sleep(0.02)
        except TimeoutError as late:
            raise WorldError(f"the service did not start within {START_S:g} s:\n{self.end_of_log()}") from late

    async def ended(self) -> int:
        """Wait until the service ends by itself; its exit status."""
        if self._process is None:
            raise WorldError("the service does not run")
        status = await self._process.wait()
        self._process = None
        return status

    async def stop_service(self, signal_number: int = signal.SIGTERM) -> int | None:
        """End the service; its exit status, None if it did not run."""
        process, self._process = self._process, None
        if process is None:
            return None
        if process.returncode is None:
            process.send_signal(signal_number)
        try:
            async with asyncio.timeout(STOP_S):
                return await process.wait()
        except TimeoutError as late:
            process.kill()
            await process.wait()
            raise WorldError(f"the service did not stop within {STOP_S:g} s:\n{self.end_of_log()}") from late

    async def _serves(self) -> bool:
        try:
            _, writer = await asyncio.open_connection(HOST, self.web_port)
        except OSError:
            return False
        writer.close()
        await writer.wait_closed()
        return True

    def end_of_log(self, lines: int = 40) -> str:
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def with_values(text: str, values: Values, *, without: Set[tuple[str, str]]) -> str:
    """An INI text with some keys set and some taken out; everything else, comments too, stays as it is."""
    lines: list[str] = []
    missing = dict(values)
    section = ""

    def add_missing() -> None:
        for (place, key), value in list(missing.items()):
            if place == section:
                lines.append(f"{key}={value}")
                del missing[place, key]

    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("["):
            add_missing()
            section = stripped.strip("[]")
        name = (section, stripped.partition("=")[0].strip())
        if name in without:
            continue
        lines.append(f"{name[1]}={missing.pop(name)}" if name in missing else line)
    add_missing()
    for section in dict.fromkeys(place for place, _ in missing):
        lines.append(f"[{section}]")
        add_missing()
    return "\n".join(lines) + "\n"
