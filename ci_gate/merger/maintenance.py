"""Keeps repositories fit while nobody waits for them: refs and objects packed, idle processes ended.

Reading and writing go on beside it: git throws nothing away that is younger than two weeks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

from ci_gate.merger.engine import Engine
from ci_gate.merger.git import GitError
from ci_gate.merger.repository import Repository

EVERY_S = 30.0
IDLE_S = 60.0
MAINTAIN_AFTER_S = 86_400.0
COLLECT_AFTER_S = 7 * 86_400.0
MANY_LOOSE_REFS = 500
DEADLINE_S = 3 * 3600.0
PACKING = (
    ("repack", "-d", "-l", "--quiet", "--geometric=2"),  # loose objects, and packs that are small beside others
    ("commit-graph", "write", "--reachable", "--split", "--no-progress"),
)
COLLECTING = (("gc", "--quiet"),)

log = structlog.stdlib.get_logger("zuul.Repo")


async def keep_house(engine: Engine) -> None:
    """Until it is cancelled. Long maintenance of one repository keeps no other from being tidied."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_for_each(engine, tidy), name="tidying of repositories")
        tasks.create_task(_for_each(engine, maintain_if_due), name="maintenance of repositories")


async def _for_each(engine: Engine, care: Callable[[Repository], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(EVERY_S)
        for repository in list(engine.repositories.values()):
            try:
                await care(repository)
            except (GitError, OSError) as problem:
                log.warning("maintenance failed", project=repository.project, reason=str(problem))


async def tidy(repository: Repository) -> None:
    """Pack what many merges published; end the processes of a repository that is idle. Raises GitError and OSError."""
    if repository.published >= MANY_LOOSE_REFS:
        await pack_refs(repository)
    if repository.is_awake and _is_idle(repository):
        await repository.close()


async def maintain_if_due(repository: Repository) -> None:
    if _is_idle(repository) and await asyncio.to_thread(_is_due, repository.private / "maintained", MAINTAIN_AFTER_S):
        await maintain(repository)


async def pack_refs(repository: Repository) -> None:
    """So that looking through refs means reading one file."""
    repository.published = 0
    await repository.git.run("pack-refs", "--all", "--prune", deadline_s=DEADLINE_S)


async def maintain(repository: Repository) -> None:
    """Pack; and once a week throw away what no ref names any more. Raises GitError and OSError."""
    begun = time.monotonic()
    await pack_refs(repository)
    maintained, collected = repository.private / "maintained", repository.private / "collected"
    collects = await asyncio.to_thread(_is_over, collected, COLLECT_AFTER_S)
    # Objects of states that were deleted go into one pack, not into a file each.
    git = repository.git.set_to("gc.cruftPacks", "true")
    for command in COLLECTING if collects else PACKING:
        await git.run(*command, deadline_s=DEADLINE_S)
    await asyncio.to_thread(_mark, maintained, collected, collects)
    took_s = round(time.monotonic() - begun, 1)
    log.info("maintained", project=repository.project, collected=collects, took_s=took_s)


def _is_idle(repository: Repository) -> bool:
    return time.monotonic() - repository.used_at >= IDLE_S


def _is_due(mark: Path, after_s: float) -> bool:
    """Also where nothing was done yet, but in a repository that is there."""
    return _is_over(mark, after_s) if mark.exists() else mark.parent.is_dir()


def _is_over(mark: Path, after_s: float) -> bool:
    return mark.exists() and time.time() - mark.stat().st_mtime > after_s


def _mark(maintained: Path, collected: Path, collects: bool) -> None:
    """The first collection is due when a new repository is as old as a collection may be."""
    maintained.touch()
    if collects or not collected.exists():
        collected.touch()
