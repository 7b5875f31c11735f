"""One build of the simulated Jenkins: what it is, and how it really runs. Knows nothing of Gearman."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

Parameters = Mapping[str, str]
# Shell text, or a function of (parameters, workspace) that runs in a thread and returns the result.
Script = str | Callable[[Parameters, Path], str]

GIT_S = 60.0
SCRIPT_S = 600.0
LOG_NAME = "console.txt"


@dataclass(eq=False, slots=True)
class Build:
    """The record of one build. ``commit`` is what was checked out; ``result`` is None while it runs."""

    job: str
    number: int
    uuid: str
    parameters: dict[str, str]
    node: str
    url: str
    commit: str | None = None
    output: str = ""
    result: str | None = None
    description: str | None = None
    task: asyncio.Task[str] | None = field(default=None, repr=False)

    @property
    def running(self) -> bool:
        return self.result is None

    def interrupt(self) -> None:
        """A person's or the manager's stop: the result will be ABORTED."""
        if self.task:
            self.task.cancel()


async def run_build(build: Build, script: Script, *, fetch: bool) -> str:
    """The result. Cancelling it kills all that it started."""
    workspace = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="sandbox-build-"))
    try:
        if fetch and not await _check_out(build, workspace):
            return "FAILURE"
        if callable(script):
            return await asyncio.to_thread(script, build.parameters, workspace)
        succeeded = await _run(build, workspace, SCRIPT_S, "sh", "-e", "-c", script)
        return "SUCCESS" if succeeded else "FAILURE"
    finally:
        await asyncio.to_thread(shutil.rmtree, workspace, ignore_errors=True)


async def keep_log(build: Build, log_dir: Path) -> None:
    """Store what the build printed where its LOG_PATH says."""
    folder = log_dir / build.parameters.get("LOG_PATH", f"{build.job}/{build.number}")

    def write() -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / LOG_NAME).write_text(f"{build.output}\nFinished: {build.result}\n", encoding="utf-8")

    await asyncio.to_thread(write)


async def _check_out(build: Build, workspace: Path) -> bool:
    """Fetch the merged state, and see that it is the one that was promised."""
    parameters = build.parameters
    url = f"{parameters['ZUUL_URL']}/{parameters['ZUUL_PROJECT']}"
    for command in (
        ("init", "-q"),
        ("fetch", "-q", url, parameters["ZUUL_REF"]),
        ("checkout", "-q", "FETCH_HEAD"),
    ):
        if not await _run(build, workspace, GIT_S, "git", *command):
            return False
    before = len(build.output)
    if not await _run(build, workspace, GIT_S, "git", "rev-parse", "HEAD"):
        return False
    build.commit = build.output[before:].strip()
    if build.commit == parameters["ZUUL_COMMIT"]:
        return True
    build.output += f"HEAD is {build.commit}, not {parameters['ZUUL_COMMIT']}\n"
    return False


async def _run(build: Build, workspace: Path, deadline_s: float, *command: str) -> bool:
    """Run a command in its own process group; what it prints goes to the build's output."""
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(workspace.parent),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "BUILD_NUMBER": str(build.number),
        "JOB_NAME": build.job,
        **build.parameters,
    }
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=workspace,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=PIPE,
        stderr=STDOUT,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(deadline_s):
            output, _ = await process.communicate()
    except TimeoutError:
        build.output += f"no end after {deadline_s:g} s\n"
        return False
    else:
        build.output += output.decode(errors="replace")
        return process.returncode == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
