"""Mergers elsewhere as the service sees them: the job server's side and the merger's side put together."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack

from ci_gate.config.settings import Settings
from ci_gate.gearman.job_runner import MOST_TRIES, JobError, JobRunner
from ci_gate.job_servers import addresses
from ci_gate.merger.remote import JobFailedError, RemoteMerger
from ci_gate.model.build import Precedence


async def start_remote_merger(settings: Settings, parts: AsyncExitStack) -> RemoteMerger:
    """``parts`` ends its connection."""
    runner = JobRunner(addresses(settings.gearman.servers, settings.gearman.tls))
    await runner.start()
    parts.push_async_callback(runner.stop)
    gerrits = {each.name: each for each in settings.gerrits}
    return RemoteMerger(
        JobsOverGearman(runner),
        settings.state_dir / "merges",
        lambda connection, project: gerrits[connection].project_url(project),
    )


class JobsOverGearman:
    """``Jobs`` for the remote merger."""

    def __init__(self, runner: JobRunner) -> None:
        self._runner = runner

    async def run(self, function: str, data: bytes, precedence: Precedence, *, once: bool = False) -> bytes:
        try:
            return await self._runner.run(function, data, precedence, most_tries=1 if once else MOST_TRIES)
        except JobError as problem:
            raise JobFailedError(str(problem)) from problem

    async def offered(self) -> Mapping[str, int]:
        return await self._runner.offered()
