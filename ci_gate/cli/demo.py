"""``ci-gate demo``: the main job, seen working: real protocols, a simulated Gerrit and Jenkins, the real service."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
import tempfile
import time
from pathlib import Path

from ci_gate.cli.examples import examples_folder
from ci_gate.sandbox.demo import Demo, DemoError
from ci_gate.sandbox.world import WorldError

DONE, FAILED = 0, 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", "-c", metavar="FILE", help="accepted and not read: the demo brings its own")
    parser.add_argument("--once", action="store_true", help="end by itself on a terminal too")
    parser.add_argument("--keep", action="store_true", help="stay up without a terminal too")


def run(arguments: argparse.Namespace) -> int:
    stay = arguments.keep or (sys.stdout.isatty() and not arguments.once)
    with tempfile.TemporaryDirectory(prefix="ci-gate-demo-") as folder:
        try:
            return asyncio.run(_show(Path(folder), stay=stay))
        except (DemoError, WorldError) as problem:
            print(f"ci-gate demo: {problem}", file=sys.stderr)
            return FAILED


async def _show(folder: Path, *, stay: bool) -> int:
    began = time.monotonic()

    def tell(text: str) -> None:
        print(f"{time.monotonic() - began:6.2f} s  {text}", flush=True)

    demo = Demo(folder, examples_folder(), tell)
    async with demo.world:
        await demo.prepare()
        await demo.play()
        print("\nThe votes that Gerrit now holds (label Verified, account demo-ci):\n")
        as_expected = True
        for act, vote in demo.votes():
            right = vote == act.expected[-1]
            as_expected = as_expected and right
            shown = "none" if vote is None else f"{vote:+d}"
            print(f"  change {act.number}  {act.title:<22} {shown}{'' if right else '   (not as expected)'}")
        if stay:
            print(f"\nThe status page: {demo.world.url}   Ctrl-C ends the demo.", flush=True)
            await _interrupted()
        else:
            print(f"\nThe status page was {demo.world.url} (--keep leaves it up).")
    return DONE if as_expected else FAILED


async def _interrupted() -> None:
    """Wait for Ctrl-C or SIGTERM, so that everything is then stopped in order."""
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked.set)
    with contextlib.suppress(asyncio.CancelledError):
        await asked.wait()
