"""Measures and writes ``bench/results.md``. ``python -m bench NAME …`` runs some only and prints them."""

from __future__ import annotations

import asyncio
import os
import platform
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

from bench import (
    commands,
    gearman,
    gerrit,
    jenkins,
    journaling,
    latency,
    layouts,
    memory,
    merging,
    reloading,
    scheduling,
    serving,
    standby,
)
from bench.figures import Figure, table

RESULTS = Path(__file__).parent / "results.md"

BENCHMARKS: dict[str, Callable[[], Awaitable[list[Figure]]]] = {
    "latency": latency.measure,
    "validate": commands.measure_validate,
    "layouts": layouts.measure,
    "reloading": reloading.measure,
    "scheduling": scheduling.measure,
    "memory": memory.measure,
    "journal": journaling.measure,
    "merging": merging.measure,
    "gearman": gearman.measure,
    "gerrit": gerrit.measure,
    "jenkins": jenkins.measure,
    "serving": serving.measure,
    "standby": standby.measure,
    "idle": latency.measure_idle,
}


async def main(names: list[str]) -> None:
    figures: list[Figure] = []
    for name in names or BENCHMARKS:
        print(f"measuring {name} …", file=sys.stderr)
        figures += await BENCHMARKS[name]()
    print(table(figures))
    if not names:
        RESULTS.write_text(_page(figures), encoding="utf-8")


def _page(figures: list[Figure]) -> str:
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    return (
        "# Results\n\n"
        f"Made by `make bench` on {datetime.now(UTC):%Y-%m-%d} ({machine}). Absolute times depend on the machine and "
        "on what else it does; quote the medians.\n\n"
        f"{table(figures)}"
    )


asyncio.run(main(sys.argv[1:]))
