"""Two thousand builds and two hundred workers, of which twenty die at work: every build ends once."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from gearman_parts import GEARMANDS, HOST, Bench, Embedded, when

from ci_gate.job_servers import Address
from ci_gate.worker_connection import GearmanWorker, Job

BUILDS, WORKERS, DYING = 2000, 200, 20

SERVERS = [Embedded, GEARMANDS]


class Executor:
    """Takes one job at a time and is done with it at once; one that is to die does so with its second job."""

    def __init__(self, port: int, number: int) -> None:
        self.dies = number < DYING
        self.died = False
        self._jobs = 0
        self._held: Job | None = None
        self._worker = GearmanWorker(
            [Address(HOST, port)], f"executor-{number}", on_job=self._take, wants=lambda: not self._held
        )
        self._worker.offer(["build:unit"])
        self._task = asyncio.create_task(self._worker.run())

    def _take(self, job: Job) -> None:
        self._jobs += 1
        self._held = job
        job.data({"name": "unit", "number": self._jobs, "manager": "m"})
        if self.dies and self._jobs == 2:
            self.died = True
            self._task.cancel()
        else:
            asyncio.get_running_loop().call_soon(self._done, job)

    def _done(self, job: Job) -> None:
        self._held = None
        job.complete({"name": "unit", "number": self._jobs, "result": "SUCCESS"})
        self._worker.look()

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@pytest.mark.parametrize("kind", SERVERS)
async def test_every_build_ends_once_although_workers_die(kind, tmp_path):
    server = kind()
    await server.start()
    executors = [Executor(server.port, number) for number in range(WORKERS)]
    try:
        async with Bench(server.port, tmp_path) as bench:
            uniques = [bench.launch() for _ in range(BUILDS)]
            await when(lambda: len(bench.ends) >= BUILDS, "all ends")
            await asyncio.sleep(0.3)  # in which a second end of a build would come
            died = sum(each.died for each in executors)
    finally:
        await asyncio.gather(*(each.stop() for each in executors))
        await server.stop()
    assert sorted(each.uuid for each in bench.ends) == sorted(uniques)
    results = Counter(each.result for each in bench.ends)
    assert died > 0
    lost = died if kind is Embedded else 0  # gearmand gives the job of a worker that is gone to the next one
    assert results == Counter({"SUCCESS": BUILDS - lost} | ({None: lost} if lost else {}))
