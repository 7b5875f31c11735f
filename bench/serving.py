"""Merged refs over HTTP: clones of a large repository beside nginx, one ref among very many, many clients at a time."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import tempfile
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.figures import Figure
from bench.large_repository import add_build_sets, make_large_repository, run
from bench.web_servers import nginx

RUNS = 7
CLIENTS = 20
PROJECT = "large"
CROWDS = (0, 1_000, 50_000)


async def measure() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        return await _measure(Path(folder))


async def _measure(folder: Path) -> list[Figure]:
    git_dir = folder / "git"
    commit = await asyncio.to_thread(make_large_repository, git_dir / PROJECT / ".git")
    async with _own_server(git_dir) as own:
        with nginx(folder / "nginx", git_dir) as other:
            clones = [await _clone(url, folder) for _ in range(RUNS) for url in (own, other)]
        ours, theirs = clones[::2], clones[1::2]  # in turns, so that what else the machine does hits both
        states = [await asyncio.to_thread(_crowded, git_dir, crowd, commit) for crowd in CROWDS]
        clients = await asyncio.to_thread(_make_clients, git_dir, folder)
        fetches = [await _fetch(own, each, clients[:1]) for _ in range(RUNS) for each in states]
        together = [await _fetch(own, states[-1], clients) for _ in range(RUNS)]
    return [
        Figure("clone of a large repository over /p/", "s", ours, "–"),
        Figure("the same by git http-backend behind nginx", "s", theirs, "–"),
        Figure("the one as a multiple of the other", "×", _ratios(ours, theirs), "≤ 1.25"),
        *(
            Figure(
                f"fetch of one new ref of it, with {crowd:,} older ones of build sets",
                "ms",
                [each * 1000 for each in fetches[number :: len(CROWDS)]],
                "as with 0" if crowd else "–",
            )
            for number, crowd in enumerate(CROWDS)
        ),
        Figure(f"{CLIENTS} such fetches at a time, until the last is done", "s", together, "< 2"),
    ]


def _ratios(these: list[float], those: list[float]) -> list[float]:
    return [this / that for this, that in zip(these, those, strict=True)]


@asynccontextmanager
async def _own_server(git_dir: Path) -> AsyncIterator[str]:
    server = await asyncio.create_subprocess_exec(sys.executable, "-m", "bench.git_server", str(git_dir), stdout=PIPE)
    try:
        assert server.stdout is not None
        yield f"http://127.0.0.1:{int(await server.stdout.readline())}/p"
    finally:
        server.terminate()
        await server.wait()


async def _clone(url: str, folder: Path) -> float:
    """Seconds. Without a work tree, which is the client's work alone."""
    copy = folder / "copy"
    begun = time.perf_counter()
    await _git("clone", "-q", "--bare", f"{url}/{PROJECT}", str(copy))
    took = time.perf_counter() - begun
    await asyncio.to_thread(shutil.rmtree, copy)
    return took


async def _fetch(url: str, states: _States, clients: list[Path]) -> float:
    """Seconds until the last has a state that was not there before."""
    ref = await asyncio.to_thread(states.publish)
    address = f"{url}/{states.project}"
    begun = time.perf_counter()
    await asyncio.gather(*(_git("-C", str(each), "fetch", "-q", address, ref) for each in clients))
    return time.perf_counter() - begun


async def _git(*arguments: str) -> None:
    process = await asyncio.create_subprocess_exec("git", *arguments)
    assert await process.wait() == 0


def _make_clients(git_dir: Path, folder: Path) -> list[Path]:
    """Each has the branch already, as workers do."""
    clients = [folder / f"client-{number}" for number in range(CLIENTS)]
    for each in clients:
        subprocess.run(["git", "clone", "-q", "--bare", str(git_dir / PROJECT / ".git"), str(each)], check=True)
    return clients


@dataclass
class _States:
    """Build sets' states, each new: a commit on the tip of the branch."""

    repository: Path
    project: str
    tip: str
    made: int = 0

    def publish(self) -> str:
        """The ref of the next."""
        self.made += 1
        who = ("-c", "user.name=bench", "-c", "user.email=bench@example.org")
        text = f"{self.project} {self.made}"
        commit = run(self.repository, *who, "commit-tree", f"{self.tip}^{{tree}}", "-p", self.tip, "-m", text)
        ref = f"refs/zuul/master/Znew{self.made}"
        run(self.repository, "update-ref", ref, commit)
        return ref


def _crowded(git_dir: Path, crowd: int, tip: str) -> _States:
    """A copy of the large repository with so many older refs."""
    project = f"crowd-{crowd}"
    repository = git_dir / project / ".git"
    shutil.copytree(git_dir / PROJECT / ".git", repository)
    add_build_sets(repository, crowd, tip)
    return _States(repository, project, tip)
