"""The merger as a part of the service: inside it, or in processes that take merges from Gearman."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from contextlib import AsyncExitStack

import structlog

from ci_gate.config.settings import Settings
from ci_gate.daemon.remote_mergers import start_remote_merger
from ci_gate.daemon.starting import StartError
from ci_gate.merger.claim import ClaimError, check_git, claimed
from ci_gate.merger.interface import Merger
from ci_gate.merger.local import LocalMerger

FIRST_RETAIN_S, RETAIN_EVERY_S = 300.0, 3600.0

log = structlog.stdlib.get_logger("zuul.Merger")


async def start_merger(settings: Settings, parts: AsyncExitStack) -> Merger:
    """Until ``parts`` are closed. Raises StartError."""
    if not settings.merger.embedded:
        return await start_remote_merger(settings, parts)
    try:
        await asyncio.to_thread(check_git)
        parts.enter_context(claimed(settings.merger.git_dir))
    except ClaimError as problem:
        raise StartError(f"{problem}, or set [merger] embedded = false") from problem
    merger = LocalMerger(settings.merger, {each.name: each for each in settings.gerrits})
    parts.push_async_callback(merger.close)
    return merger


async def retain_states(merger: Merger, in_use: Callable[[], Collection[str]]) -> None:
    """Merged states that nobody needs any more go, from time to time. Until cancelled."""
    await asyncio.sleep(FIRST_RETAIN_S)
    while True:
        try:
            await merger.retain(in_use())
        except Exception:
            log.exception("merged states cannot be tidied")
        await asyncio.sleep(RETAIN_EVERY_S)
