"""Many executors, each a connection with one build at a time that it says to have started and ends at once."""

from __future__ import annotations

import asyncio
import sys

from ci_gate.job_servers import Address
from ci_gate.worker_connection import GearmanWorker, Job


def executor(server: Address, number: int) -> GearmanWorker:
    def take(job: Job) -> None:
        started = {"name": "bench", "number": number, "manager": "bench", "url": "http://bench/"}
        job.data(started)
        job.complete(started | {"result": "SUCCESS"})

    worker = GearmanWorker([server], f"node-{number}_exec-0", on_job=take)
    worker.offer(["build:bench", "stop:bench"])
    return worker


async def main(host: str, port: int, count: int) -> None:
    server = Address(host, port)
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(executor(server, number).run())


asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
