"""Builds that wait although workers are idle are told of, whichever job server there is."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from gear import constants
from gearman_parts import HOST, QUICK, Bench, Embedded, Worker, data, when

from ci_gate.gearman.inquiry import idle_workers
from ci_gate.gearman.packets import PacketStream
from ci_gate.job_servers import Address

SHORT = replace(QUICK, stall=0.3, stall_look=0.05)


class Hanging:
    """Offers functions and takes nothing, as the executors of a Jenkins that is about to shut down."""

    def __init__(self, stream: PacketStream) -> None:
        self.close = stream.close
        self._stream = stream

    @classmethod
    async def connect(cls, port: int, *functions: str) -> Hanging:
        stream = await PacketStream.connect(Address(HOST, port))
        for each in functions:
            await stream.send(constants.CAN_DO, each.encode())
        return cls(stream)


class StallBench(Bench):
    def __init__(self, port: int, folder) -> None:
        super().__init__(port, folder, SHORT)
        self.told: list[tuple] = []
        self.launcher._stalls._told = self.told.append


async def test_builds_that_idle_workers_do_not_take_are_told_until_somebody_takes_them(server, tmp_path):
    hanging = [await Hanging.connect(server.port, "build:unit", "build:other") for _ in range(3)]
    async with StallBench(server.port, tmp_path) as bench:
        bench.launch()
        bench.launch()
        await when(lambda: bench.launcher.stalls and bench.launcher.stalls[0].builds == 2, "both to be told")
        (stall,) = bench.launcher.stalls
        assert (stall.function, stall.idle_workers) == ("build:unit", 3)
        worker = await asyncio.to_thread(Worker, server.port, "build:unit")
        for number in (1, 2):
            (await worker.job(number)).sendWorkComplete(data(result="SUCCESS"))
        await bench.end(2)
        await when(lambda: not bench.launcher.stalls, "the end of it")
        assert bench.told[-1] == ()
        await asyncio.to_thread(worker.stop)
    for each in hanging:
        each.close()


async def test_builds_that_wait_for_busy_workers_are_nothing_to_tell(server, tmp_path):
    """One worker with two functions: a job of the one keeps it from taking the other."""
    worker = await asyncio.to_thread(Worker, server.port, "build:unit", "build:other")
    elsewhere = await Hanging.connect(server.port, "build:elsewhere")
    async with StallBench(server.port, tmp_path) as bench:
        bench.launch("other")
        job = await worker.job()
        taken = asyncio.get_running_loop().time()
        bench.launch()
        worker._worker.stopWaitingForJobs()
        await when(lambda: bench.launcher.state.counts.queued == 2, "it to wait beside the one that runs")
        while asyncio.get_running_loop().time() < taken + 4 * SHORT.stall:
            assert bench.launcher.stalls == ()
            there = Address(HOST, server.port)
            assert await idle_workers(there, ["build:unit"], silence_s=SHORT.identify) == {
                name: 0 for name in ["build:unit"] if isinstance(server, Embedded)
            }
        job.sendWorkComplete(data(result="SUCCESS"))
    elsewhere.close()
    await asyncio.to_thread(worker.stop)


async def test_nothing_is_said_of_a_server_that_is_gone(server, tmp_path):
    hanging = await Hanging.connect(server.port, "build:unit")
    async with StallBench(server.port, tmp_path) as bench:
        bench.launch()
        await when(lambda: bench.launcher.stalls, "the stall")
        await server.stop()
        await when(lambda: not bench.launcher.state.connected, "the end of the connection")
        assert bench.launcher.stalls == ()
    hanging.close()
