"""The worker connections of the simulated Jenkins: one for each executor, one for the manager.

They speak as the Gearman plugin 0.8.0 does (gearman-jenkins.md 6). A busy executor does not look at its socket: if
the server goes away meanwhile, it notices when its build has ended, and the build's result is lost.
"""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any, Protocol

from ci_gate.sandbox import jenkins_wire as wire
from ci_gate.sandbox.jenkins_build import Build, Script, keep_log, run_build
from ci_gate.sandbox.jenkins_wire import WorkerConnection


class Fault(Enum):
    """How one build can go wrong towards the job server."""

    NO_RESULT = auto()  # WORK_COMPLETE without a result
    GARBAGE = auto()  # WORK_COMPLETE with what is not JSON
    ARRAY = auto()  # WORK_COMPLETE with JSON that is not an object
    GARBAGE_AT_START = auto()  # WORK_DATA with what is not JSON
    NO_NUMBER = auto()  # WORK_DATA at the start lacks the number
    STARTS_TWICE = auto()  # a second WORK_DATA at the start, with another number
    ENDS_TWICE = auto()  # WORK_COMPLETE is sent twice
    EXCEPTION = auto()  # WORK_EXCEPTION instead of an end
    FAIL = auto()  # WORK_FAIL instead of an end
    DIES = auto()  # the connection breaks once the build has started


@dataclass(frozen=True, slots=True)
class Node:
    name: str
    executors: int = 1
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """``labels``: the nodes that may run it; none: all. ``fetch`` false: the script runs in an empty folder."""

    name: str
    script: Script
    labels: tuple[str, ...] = ()
    fetch: bool = True

    def functions_on(self, node: Node) -> set[bytes]:
        own = {node.name, *node.labels}
        if self.labels and not own.intersection(self.labels):
            return set()
        names = [self.name, *(f"{self.name}:{label}" for label in self.labels if label in own)]
        return {f"build:{name}".encode() for name in names}


class Controller(Protocol):
    """What workers need of the Jenkins that they belong to."""

    name: str
    address: tuple[str, int]
    reconnect_s: float
    estimate_ms: int
    log_dir: Path | None
    jobs: dict[str, Job]
    faults: dict[str, list[Fault]]

    def changed(self) -> None: ...

    def find(self, name: str, number: int) -> Build | None: ...

    def new_build(self, job: str, uuid: str, parameters: dict[str, str], node: str) -> Build: ...

    async def held(self, job: str) -> None: ...


class Worker(ABC):
    """Connects, registers, works; and again, ``reconnect_s`` after a connection was lost."""

    def __init__(self, jenkins: Controller, client_id: str) -> None:
        self.client_id = client_id
        self.asleep = False  # registered, and waiting for a job
        self._jenkins = jenkins
        self._connection: WorkerConnection | None = None
        self._registered: set[bytes] = set()
        self._busy = False

    @abstractmethod
    def functions(self) -> set[bytes]:
        """What it can do now."""

    @abstractmethod
    async def work(self, handle: bytes, function: str, unique: str, data: bytes) -> None:
        """Do one job and answer it."""

    async def run(self) -> None:
        while True:
            try:
                self._connection = await WorkerConnection.open(*self._jenkins.address)
                await self._serve()
            except (OSError, EOFError):
                pass  # the plugin tries for ever, too
            finally:
                self.asleep = False
                self.cut()
                self._jenkins.changed()
            await asyncio.sleep(self._jenkins.reconnect_s)

    def register(self) -> None:
        """Tell the server what has changed; a busy worker does so when it is done."""
        if self._connection is None or self._busy:
            return
        functions = self.functions()
        for name in sorted(functions - self._registered):
            self.send(wire.CAN_DO, name)
        for name in sorted(self._registered - functions):
            self.send(wire.CANT_DO, name)
        if self.asleep and functions - self._registered:
            self.asleep = False
            self.send(wire.GRAB_JOB_UNIQ)
        self._registered = functions

    def send(self, packet_type: int, *arguments: bytes) -> None:
        if self._connection:
            self._connection.send(packet_type, *arguments)

    def cut(self) -> None:
        """Break the connection."""
        if self._connection:
            self._connection.cut()
            self._connection = None

    async def _serve(self) -> None:
        self.send(wire.SET_CLIENT_ID, self.client_id.encode())
        self.send(wire.RESET_ABILITIES)
        self._registered = set()
        self.register()
        self.send(wire.GRAB_JOB_UNIQ)
        while connection := self._connection:
            packet_type, body = await connection.receive()
            if packet_type == wire.JOB_ASSIGN_UNIQ:
                self._awake()
                await self._do(body)
                self.register()
                self.send(wire.GRAB_JOB_UNIQ)
            elif packet_type == wire.NO_JOB:
                self.send(wire.PRE_SLEEP)
                self.asleep = True
                self._jenkins.changed()
            elif packet_type == wire.NOOP:
                self._awake()
                self.send(wire.GRAB_JOB_UNIQ)

    def _awake(self) -> None:
        self.asleep = False

    async def _do(self, body: bytes) -> None:
        handle, function, unique, data = body.split(b"\x00", 3)
        self._busy = True
        try:
            await self.work(handle, function.decode(), unique.decode(), data)
        finally:
            self._busy = False


class Manager(Worker):
    """Stops builds and describes them (6.5)."""

    def __init__(self, jenkins: Controller) -> None:
        super().__init__(jenkins, f"{jenkins.name}_manager")

    def functions(self) -> set[bytes]:
        return {f"{verb}:{self._jenkins.name}".encode() for verb in ("stop", "set_description")}

    async def work(self, handle: bytes, function: str, unique: str, data: bytes) -> None:
        try:
            request = json.loads(data)
            build = self._jenkins.find(request["name"], request["number"])
        except (ValueError, KeyError, TypeError) as error:
            self.send(wire.WORK_EXCEPTION, handle, repr(error).encode())
            return
        if build is None:
            self.send(wire.WORK_EXCEPTION, handle, b"no such build")
        elif function.startswith("set_description:"):
            build.description = request.get("html_description")
            self.send(wire.WORK_COMPLETE, handle, b"")
        elif build.running:
            build.interrupt()
            self.send(wire.WORK_COMPLETE, handle, b"")
        else:
            self.send(wire.WORK_FAIL, handle)


class Executor(Worker):
    """Runs builds, one at a time (6.3). ``build`` is the present one."""

    def __init__(self, jenkins: Controller, node: Node, index: int) -> None:
        super().__init__(jenkins, f"{node.name}_exec-{index}")
        self.build: Build | None = None
        self._node = node

    def functions(self) -> set[bytes]:
        return {name for job in self._jenkins.jobs.values() for name in job.functions_on(self._node)}

    async def work(self, handle: bytes, function: str, unique: str, data: bytes) -> None:
        job = self._jenkins.jobs.get(function.split(":")[1])
        if job is None:
            self.send(wire.WORK_FAIL, handle)
            return
        try:
            parameters = _parameters(data)
        except ValueError as error:
            self.send(wire.WORK_EXCEPTION, handle, f"java.lang.IllegalArgumentException: {error}".encode())
            return
        faults = self._jenkins.faults[job.name]
        fault = faults.pop(0) if faults else None
        build = self.build = self._jenkins.new_build(job.name, unique, parameters, self._node.name)
        try:
            self._announce(handle, build, fault)
            if fault is Fault.DIES:
                self.cut()
            result = await self._result(build, job)
        finally:
            self.build = None
        build.result = result
        if self._jenkins.log_dir is not None:
            await keep_log(build, self._jenkins.log_dir)
        self._finish(handle, build, fault)
        self._jenkins.changed()

    def _announce(self, handle: bytes, build: Build, fault: Fault | None) -> None:
        data = self._data(build)
        if fault is Fault.NO_NUMBER:
            del data["number"]
        body = b"{garbage" if fault is Fault.GARBAGE_AT_START else json.dumps(data).encode()
        self.send(wire.WORK_DATA, handle, body)
        if fault is Fault.STARTS_TWICE:
            data["number"] += 1000
            self.send(wire.WORK_DATA, handle, json.dumps(data).encode())
        self.send(wire.WORK_STATUS, handle, b"0", str(self._jenkins.estimate_ms).encode())

    async def _result(self, build: Build, job: Job) -> str:
        """Run it; ABORTED if somebody interrupts it."""
        build.task = asyncio.create_task(self._run(build, job))
        try:
            await asyncio.wait([build.task])
        finally:
            build.task.cancel()  # where it matters, this worker itself is being cancelled
        return "ABORTED" if build.task.cancelled() else build.task.result()

    async def _run(self, build: Build, job: Job) -> str:
        await self._jenkins.held(job.name)
        return await run_build(build, job.script, fetch=job.fetch)

    def _finish(self, handle: bytes, build: Build, fault: Fault | None) -> None:
        """Every end is a WORK_COMPLETE that carries the result, unless a fault is wanted."""
        data = self._data(build) | {"result": build.result}
        match fault:
            case Fault.EXCEPTION:
                self.send(wire.WORK_EXCEPTION, handle, b"java.lang.RuntimeException: on purpose")
                return
            case Fault.FAIL:
                self.send(wire.WORK_FAIL, handle)
                return
            case Fault.NO_RESULT:
                data["result"] = None
            case _:
                pass
        spoiled = {Fault.GARBAGE: b"{garbage", Fault.ARRAY: b"[1, 2]"}
        body = spoiled.get(fault) if fault else None
        for _ in range(2 if fault is Fault.ENDS_TWICE else 1):
            self.send(wire.WORK_COMPLETE, handle, body or json.dumps(data).encode())

    def _data(self, build: Build) -> dict[str, Any]:
        return {
            "name": build.job,
            "number": build.number,
            "manager": self._jenkins.name,
            "worker": self.client_id,
            "url": build.url,
            "node_name": self._node.name,
            "node_labels": [self._node.name, *self._node.labels],
        }


def _parameters(data: bytes) -> dict[str, str]:
    """The build's parameters as Jenkins keeps them: text. Raises ValueError for what the plugin refuses."""
    found = json.loads(data)
    if not isinstance(found, dict):
        raise ValueError("the request is not an object")  # noqa: TRY004  # bad data, not a caller's mistake
    parameters = {}
    for name, value in found.items():
        if isinstance(value, dict | list):
            raise ValueError(f"{name} is neither text nor a number")  # noqa: TRY004  # as above
        if value is not None:
            parameters[name] = value if isinstance(value, str) else json.dumps(value)
    return parameters
