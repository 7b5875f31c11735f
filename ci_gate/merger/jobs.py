"""A merger's work as jobs for others: bytes in, bytes out. What ``ci-gate merger`` offers to a job server.

Every job gets an answer; what is wrong with it is part of the answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from hashlib import blake2b

import structlog

from ci_gate.merger import wire
from ci_gate.merger.local import LocalMerger
from ci_gate.merger.wire import BadJobError
from ci_gate.model.merge import MergeAnswer, MergeOutcome

log = structlog.stdlib.get_logger("zuul.MergeServer")

Handler = Callable[[bytes], Awaitable[bytes]]


class MergeJobs:
    """``url`` is the merger's own ``zuul_url``, which is part of every answer."""

    def __init__(self, merger: LocalMerger, url: str) -> None:
        self._merger = merger
        self._url = url

    @property
    def functions(self) -> Mapping[str, Handler]:
        """By their names on the job server."""
        return {
            wire.MERGE: self._merge,
            wire.UPDATE: self._update,
            f"{wire.RETAIN}{self._url}": self._retain,
        }

    async def _merge(self, data: bytes) -> bytes:
        try:
            chain = wire.merge_requests(data)
        except BadJobError as problem:
            return wire.merge_result(self._refuse(problem))
        return wire.merge_result(await self._merger.merge_chain(chain))

    async def _update(self, data: bytes) -> bytes:
        try:
            # Who asks for the very same shares the answer.
            name = f"update {blake2b(data, digest_size=16).hexdigest()}"
            request, branch, revision = wire.update_request(name, data)
        except BadJobError as problem:
            return wire.update_result(self._refuse(problem))
        answer = await self._merger.update(request)
        if branch is None or revision is None or answer.outcome is not MergeOutcome.MERGED:
            return wire.update_result(answer)
        return wire.update_result(answer, contains=await self._merger.contains(request, branch, revision))

    async def _retain(self, data: bytes) -> bytes:
        try:
            await self._merger.retain(wire.retained(data))
        except BadJobError as problem:
            self._refuse(problem)
        return b"{}"

    def _refuse(self, problem: BadJobError) -> MergeAnswer:
        log.warning("a job that cannot be understood", reason=str(problem))
        return MergeAnswer("", MergeOutcome.INTERNAL, url=self._url, detail=f"the job cannot be understood: {problem}")
