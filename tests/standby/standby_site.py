"""Two services on one PostgreSQL, between a simulated Gerrit and a simulated Jenkins with a job server of its own."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import urllib.error
import urllib.request
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "e2e"))

from e2e_site import EXAMPLES, JOB, PROJECT, Site, when

from ci_gate.sandbox.gerrit import HOST
from ci_gate.sandbox.ports import free_port
from ci_gate.sandbox.world import World

START_S = 30.0


class Door:
    """One address for both services, as a load balancer has it: it leads to whoever ``leads_to``."""

    def __init__(self) -> None:
        self.port = free_port()
        self.leads_to = 0
        self._server: asyncio.Server | None = None
        self._under_way: set[asyncio.Task] = set()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._pass_through, HOST, self.port)

    async def close(self) -> None:
        self._server.close()
        for each in self._under_way:
            each.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _pass_through(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._under_way.add(asyncio.current_task())
        try:
            behind = await asyncio.open_connection(HOST, self.leads_to)
            await asyncio.gather(_copy(reader, behind[1]), _copy(behind[0], writer))
        except OSError:
            pass  # nobody is there just now
        finally:
            writer.close()
            self._under_way.discard(asyncio.current_task())


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


class Service:
    """One of the two: a ``ci-gate serve`` with folders and a port of its own."""

    def __init__(self, world: World, name: str) -> None:
        self.name = name
        self.port = free_port()
        self.log_file = world.folder / f"{name}.log"
        self.config = world.folder / f"{name}.conf"
        state = world.folder / name
        text = world.config.read_text().replace(str(world.folder / "state"), str(state))
        self.config.write_text(text.replace(f"port={world.web_port}", f"port={self.port}"))
        self._process: Process | None = None

    async def start(self) -> None:
        with self.log_file.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "ci_gate", "serve", "--config", str(self.config)),
                stdin=DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        await when(lambda: self.get("healthz") is not None, f"{self.name} to serve", START_S)

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def ended(self) -> int:
        async with asyncio.timeout(START_S):
            return await self._process.wait()

    async def end(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self.send(signal.SIGCONT)
            self.send(signal.SIGTERM)
            await self._process.wait()

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def get(self, path: str) -> tuple[int, str] | None:
        """Status and text; None if nobody answers."""
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.port}/{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()
        except OSError:
            return None

    def status(self) -> dict:
        return json.loads(self.get("status.json")[1])

    @property
    def leads(self) -> bool:
        found = self.get("healthz/leader")
        return found is not None and found[0] == 200


class Pair(Site):
    """``first`` leads in the beginning, ``second`` stands by."""

    def __init__(self, world: World, door: Door) -> None:
        super().__init__(world)
        self.door = door
        self.first, self.second = Service(world, "first"), Service(world, "second")
        self.leader = self.first

    async def start(self, script: str = "true") -> None:
        self.gerrit.create_project(PROJECT, {"README": "one\ntwo\nthree\n"})
        self.jenkins.add_job(JOB, script, fetch=False)
        await self.jenkins.start()
        await self.first.start()
        await when(lambda: self.gerrit.listeners, "the leader's stream", START_S)
        self.door.leads_to = self.first.port
        await self.second.start()

    def status(self) -> dict:
        return self.leader.status()

    async def taken_over(self) -> None:
        """Wait until the second leads and listens."""
        await when(lambda: self.second.leads, "the second to lead", START_S)
        self.leader, self.door.leads_to = self.second, self.second.port


@asynccontextmanager
async def job_server(world: World) -> AsyncIterator[None]:
    command = [sys.executable, "-m", "ci_gate", "gearman", "--config", str(world.config)]
    server = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
    try:
        assert await server.stdout.readline() == f"listening {world.gearman_port}\n".encode()
        yield
    finally:
        server.terminate()
        await server.wait()


@asynccontextmanager
async def pair(folder: Path, dburi: str, script: str = "true") -> AsyncIterator[Pair]:
    door = Door()
    settings = {
        ("gearman_server", "start"): "false",
        ("database", "dburi"): dburi,
        ("zuul", "zuul_url"): f"http://{HOST}:{door.port}/p",
    }
    async with World(folder, EXAMPLES, settings=settings) as world, job_server(world):
        await door.open()
        made = Pair(world, door)
        try:
            await made.start(script)
            yield made
        finally:
            await world.jenkins.stop()
            for each in (made.second, made.first):
                await each.end()
            await door.close()
