"""A merger as a process of its own: ``ci-gate merger``. Takes merges from a job server, for whoever asks there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from ci_gate.config.settings import Settings
from ci_gate.daemon.notify import notify, tell_watchdog
from ci_gate.gearman.job_worker import JobWorker
from ci_gate.job_servers import addresses
from ci_gate.merger.claim import claimed
from ci_gate.merger.jobs import MergeJobs
from ci_gate.merger.local import LocalMerger

LANES = 4
FINISH_S = 20.0

log = structlog.stdlib.get_logger("zuul.MergeServer")


class MergerProcess:
    """One run of a merger."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Finish what is under way, within seconds, and end ``run``."""
        self._stopping.set()

    async def run(self, started: Callable[[], None] = lambda: None) -> None:
        """Merge until ``stop``. Raises ClaimError and OSError if it cannot start."""
        settings = self._settings
        with claimed(settings.merger.git_dir):
            merger = LocalMerger(settings.merger, {each.name: each for each in settings.gerrits})
            jobs = MergeJobs(merger, settings.merger.zuul_url or "")
            servers = addresses(settings.gearman.servers, settings.gearman.tls)
            worker = JobWorker(servers, jobs.functions, lanes=LANES, name="ci-gate-merger")
            keeping = asyncio.create_task(merger.keep_house(), name="housekeeping of the merger")
            working = asyncio.create_task(worker.run(), name="merge jobs")
            telling = asyncio.create_task(tell_watchdog(), name="systemd's watchdog")
            stopping = asyncio.create_task(self._stopping.wait())
            started()
            notify("READY=1")
            try:
                await asyncio.wait([keeping, working, stopping], return_when=asyncio.FIRST_COMPLETED)
                notify("STOPPING=1")
                worker.stop()
                await asyncio.wait([working], timeout=FINISH_S)
            finally:
                for task in (keeping, working, stopping, telling):
                    task.cancel()
                ended = await asyncio.gather(keeping, working, stopping, telling, return_exceptions=True)
                await merger.close()
            for problem in ended:
                if isinstance(problem, Exception):
                    raise problem
