"""Mergers on other hosts, reached through a job server: the same calls as the merger inside the process.

Whichever merger takes a job may never have seen the chain that it belongs to, or may be one of Zuul's; so each job has
the whole chain in it. What was asked is kept in a folder, also over a restart: later jobs stand on it. Knows jobs as
functions and bytes; ``Jobs`` runs them, and runs those again whose merger died.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import structlog

from ci_gate.merger import wire
from ci_gate.merger.records import Record, Records
from ci_gate.merger.wire import BadJobError, UrlOf
from ci_gate.model.build import Precedence
from ci_gate.model.merge import MergeAnswer, MergeOutcome, MergeRequest, UpdateRequest

DEADLINE_S = 4 * 3600.0  # jobs wait while no merger is there
RETAIN_DEADLINE_S = 300.0
MOST_ASKED = 5
FORGOTTEN_AFTER_S = 14 * 86400.0

log = structlog.stdlib.get_logger("zuul.Merger")


class JobFailedError(Exception):
    """No merger could do it. The text says how that shows."""


class Jobs(Protocol):
    async def run(self, function: str, data: bytes, precedence: Precedence, *, once: bool = False) -> bytes:
        """What the worker answers, whenever there is one. Raises JobFailedError, with ``once`` for the first worker
        that fails or is lost; else others may try."""
        ...

    async def offered(self) -> Mapping[str, int]:
        """How many workers offer each function. Raises OSError if nobody tells."""
        ...


class RemoteMerger:
    """``folder`` keeps what was asked; ``url_of`` (connection, project) is where projects come from."""

    deadline_s = DEADLINE_S
    trouble = ""  # theirs

    def __init__(self, jobs: Jobs, folder: Path, url_of: UrlOf) -> None:
        self._jobs = jobs
        self._url_of = url_of
        self._records = Records(folder)
        self._asked: dict[str, Record] = {}

    async def merge(self, request: MergeRequest, precedence: Precedence = Precedence.NORMAL) -> MergeAnswer:
        try:
            chain = await asyncio.to_thread(self._chain, request)
        except (LookupError, OSError) as problem:
            return MergeAnswer(request.ref, MergeOutcome.INTERNAL, detail=str(problem))
        starts = not any((each.project, each.branch) == (request.project, request.branch) for each in chain[:-1])
        data = wire.merge_data(chain, self._url_of)
        try:
            # Asking again is the scheduler's, which counts (scheduler.md 8).
            raw = await self._jobs.run(wire.MERGE, data, precedence, once=True)
            answer = wire.merge_answer(request.ref, raw)
        except (JobFailedError, BadJobError) as problem:
            return MergeAnswer(request.ref, MergeOutcome.INTERNAL, detail=str(problem))
        base = _base(answer, request) if starts else None
        if base is not None:
            await asyncio.to_thread(self._keep, Record(request, parent=base))
        return answer

    async def update(self, request: UpdateRequest, precedence: Precedence = Precedence.NORMAL) -> MergeAnswer:
        data = wire.update_data(request, self._url_of)
        try:
            answer, _ = wire.update_answer(request.name, await self._jobs.run(wire.UPDATE, data, precedence))
        except (JobFailedError, BadJobError) as problem:
            return MergeAnswer(request.name, MergeOutcome.INTERNAL, detail=str(problem))
        return answer

    async def contains(self, request: UpdateRequest, branch: str, revision: str) -> bool:
        """Zuul's mergers cannot tell; if only such answer, Gerrit's word that it merged the change has to do."""
        data = wire.update_data(request, self._url_of, branch=branch, revision=revision)
        for _ in range(MOST_ASKED):
            raw = await self._jobs.run(wire.UPDATE, data, Precedence.HIGH)
            answer, contains = wire.update_answer(request.name, raw)
            if answer.outcome is not MergeOutcome.MERGED:
                raise JobFailedError(answer.detail)
            if contains is not None:
                return contains
        log.warning("no merger can tell whether a branch has a change", project=request.project, branch=branch)
        return True

    async def has_content(self, request: UpdateRequest, branch: str, commit: str) -> bool:
        """Mergers elsewhere are not asked: what cannot be told is tested again."""
        return False

    async def retain(self, inside: Collection[str]) -> None:
        """Tell every merger that wants to know. Raises OSError if the job server does not say which there are."""
        for function, workers in (await self._jobs.offered()).items():
            if workers and function.startswith(wire.RETAIN):
                try:
                    async with asyncio.timeout(RETAIN_DEADLINE_S):
                        await self._jobs.run(function, wire.retain_data(inside), Precedence.LOW)
                except (JobFailedError, TimeoutError) as problem:
                    log.warning("a merger was not told what is inside", function=function, reason=str(problem))
        await asyncio.to_thread(self._forget_but, inside)

    async def keep_house(self) -> None:
        """The mergers do that."""

    async def close(self) -> None:
        """Whoever made the jobs' connection ends it."""

    # --- in worker threads ---

    def _chain(self, request: MergeRequest) -> list[MergeRequest]:
        """The requests of a whole chain, front to back. Raises LookupError and OSError."""
        chain = [self._keep(self._known(request.ref) or Record(request, parent=request.base or ""))]
        while (ahead := chain[0].request.ahead) is not None and len(chain) != request.depth:
            record = self._known(ahead)
            if record is None:
                raise LookupError(f"nothing is known of the build set ahead, {ahead}")
            chain.insert(0, record)
        begun: set[tuple[str, str]] = set()
        requests = []
        for record in chain:
            branch = (record.request.project, record.request.branch)
            # Only what a chain begins a branch with can be begun there again.
            base = record.parent or None if branch not in begun else None
            requests.append(replace(record.request, base=base, tip=request.tip if record is chain[-1] else None))
            begun.add(branch)
        return requests

    def _known(self, build_set: str) -> Record | None:
        return self._asked.get(build_set) or self._records.load(build_set)

    def _keep(self, record: Record) -> Record:
        if self._asked.get(record.request.ref) != record:
            self._records.save(record)
            self._asked[record.request.ref] = record
        return record

    def _forget_but(self, inside: Collection[str]) -> None:
        self._records.touch(inside)
        for build_set in self._records.unused_since(time.time() - FORGOTTEN_AFTER_S):
            self._records.forget(build_set)
        wanted = set(inside)
        for build_set in [each for each in self._asked if each not in wanted]:
            del self._asked[build_set]


def _base(answer: MergeAnswer, request: MergeRequest) -> str | None:
    own = (request.project, request.branch)
    return next((each.commit for each in answer.bases if (each.project, each.branch) == own), None)
