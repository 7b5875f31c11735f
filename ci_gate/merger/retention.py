"""Deletes published states that nobody can want any more (``spec/merger.md`` 5).

A state is wanted while its item is inside, and for ``ref_retention`` after that, since people fetch states by hand.
Only who has the items knows what is inside; until somebody says it, everything is kept.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from functools import partial

import structlog

from ci_gate.merger.engine import Engine
from ci_gate.merger.git import GitError
from ci_gate.merger.names import UnsafeNameError
from ci_gate.merger.records import Record, Records
from ci_gate.merger.repository import DamagedError

log = structlog.stdlib.get_logger("zuul.Merger")


async def retain(
    engine: Engine, inside: Collection[str], retention_s: float, clock: Callable[[], float] = time.time
) -> int:
    """Keep the states of these build sets, delete those that were of use neither now nor within the retention.

    How many build sets were forgotten. ``clock`` gives seconds since the epoch.
    """
    loop, records = asyncio.get_running_loop(), engine.records
    look = partial(_touch_and_look, records, inside, clock() - retention_s)
    expired = await loop.run_in_executor(engine.threads, look)
    for project, refs in _by_project(expired).items():
        try:
            repository = engine.repository(project)
            await repository.work(partial(repository.withdraw, refs))
        except (GitError, OSError, DamagedError, UnsafeNameError) as problem:
            log.warning("states cannot be deleted", project=project, refs=len(refs), reason=str(problem))
            for ref in refs:
                expired.pop(ref.rpartition("/")[2], None)
    await loop.run_in_executor(engine.threads, _forget, records, expired)
    if expired:
        log.info("states of items that left long ago are deleted", build_sets=len(expired))
    return len(expired)


def _touch_and_look(records: Records, inside: Collection[str], moment: float) -> dict[str, Record | None]:
    records.touch(inside)
    return {build_set: records.read(build_set) for build_set in records.unused_since(moment)}


def _by_project(expired: Mapping[str, Record | None]) -> Mapping[str, dict[str, str]]:
    refs: dict[str, dict[str, str]] = defaultdict(dict)
    for build_set, record in expired.items():
        for state in record.states if record else ():
            refs[state.project][state.ref(build_set)] = state.commit
    return refs


def _forget(records: Records, build_sets: Collection[str]) -> None:
    for build_set in build_sets:
        records.forget(build_set)
