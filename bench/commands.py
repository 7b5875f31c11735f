"""How long commands take, interpreter start and all."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from bench.figures import Figure

ETC = Path(__file__).parent.parent / "etc"
RUNS = 5


async def measure_validate() -> list[Figure]:
    return [
        Figure("`ci-gate validate etc/layout.yaml`", "s", _runs(str(ETC / "layout.yaml")), "< 0.3"),
        Figure(
            "the same with `--config etc/ci.conf`",
            "s",
            _runs(str(ETC / "layout.yaml"), "--config", str(ETC / "ci.conf")),
            "< 0.3",
        ),
    ]


def _runs(*arguments: str) -> list[float]:
    command = [str(Path(sys.executable).with_name("ci-gate")), "validate", *arguments]
    subprocess.run(command, check=True, capture_output=True)  # so that bytecode and page cache are warm
    took = []
    for _ in range(RUNS):
        begun = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        took.append(time.perf_counter() - begun)
    return took
