"""The merger inside the process: requests in, answers out (``spec/merger.md`` 7 and 8).

The outbox calls it. It puts requests in order, so that none is begun before that of the build set ahead has ended,
and turns all that can go wrong into answers. The merging itself is the engine's.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog

from ci_gate.config.settings import GerritSettings, MergerSettings
from ci_gate.merger.engine import Engine, MismatchError, MissingBranchError
from ci_gate.merger.git import GitError
from ci_gate.merger.maintenance import keep_house
from ci_gate.merger.names import UnsafeNameError
from ci_gate.merger.records import Record
from ci_gate.merger.repository import DamagedError
from ci_gate.merger.retention import retain
from ci_gate.merger.upstream import FETCH_DEADLINE_S, FetchError, MissingRefError
from ci_gate.model.build import Precedence
from ci_gate.model.merge import MergeAnswer, MergeOutcome, MergeRequest, UpdateRequest

RELOOK_S = 60.0
DEADLINE_S = 900.0
RESTORED_S = 86_400.0  # the service says every hour what is of use
FAILURES_REMEMBERED = 1000

_AHEAD = "the build set ahead, "

log = structlog.stdlib.get_logger("zuul.Merger")

Request = MergeRequest | UpdateRequest
Work = Callable[[], Coroutine[Any, Any, MergeAnswer]]


class AheadError(Exception):
    """What the request stands on was not merged: ``answer`` is why."""

    def __init__(self, answer: MergeAnswer) -> None:
        self.answer = answer
        detail = answer.detail
        if not detail.startswith(_AHEAD):  # in a long chain, only the first cause is of interest
            detail = f"{_AHEAD}{answer.ref}, has no merged state: {detail}"
        super().__init__(detail)


_OUTCOMES: dict[type[Exception], MergeOutcome] = {
    MissingRefError: MergeOutcome.MISSING_REF,
    MissingBranchError: MergeOutcome.MISSING_BRANCH,
    FetchError: MergeOutcome.FETCH,
}


class LocalMerger:
    """Merges in ``settings.git_dir``. ``relook_s``: for how long to look for a change's ref that is not there.

    ``project_url`` (connection, project) tells where projects come from, in place of the connection's SSH URL.
    """

    deadline_s = DEADLINE_S

    def __init__(
        self,
        settings: MergerSettings,
        gerrits: Mapping[str, GerritSettings],
        *,
        project_url: Callable[[str, str], str] | None = None,
        relook_s: float = RELOOK_S,
        fetch_deadline_s: float = FETCH_DEADLINE_S,
    ) -> None:
        self._url = settings.zuul_url
        self._retention_s = settings.ref_retention_s
        self._engine = Engine(
            settings,
            gerrits,
            project_url=project_url,
            relook_s=relook_s,
            fetch_deadline_s=fetch_deadline_s,
            on_loss=self._restore_soon,
        )
        self._under_way: dict[str, tuple[Request, asyncio.Task[MergeAnswer]]] = {}
        self._restoring: set[asyncio.Task[None]] = set()
        self.trouble = ""
        self._failures: OrderedDict[str, MergeAnswer] = OrderedDict()

    async def merge(self, request: MergeRequest, precedence: Precedence = Precedence.NORMAL) -> MergeAnswer:
        """Goes on when its caller is cancelled: whoever asks again gets the answer that is in the making.

        Projects are worked on side by side, so ``precedence`` makes no difference.
        """
        return await self._answer_once(request.ref, request, lambda: self._merge(request))

    async def merge_chain(self, chain: Sequence[MergeRequest]) -> MergeAnswer:
        """A whole chain, front to back, each on the one before: the last one's answer. What was made stands."""
        linked = [
            replace(request, ahead=chain[index - 1].ref if index else None, depth=index + 1)
            for index, request in enumerate(chain)
        ]
        begin = await self._engine.begin_of(linked)
        answers = await asyncio.gather(*(self.merge(each) for each in linked[begin:]))
        return answers[-1]

    async def update(self, request: UpdateRequest, precedence: Precedence = Precedence.NORMAL) -> MergeAnswer:
        return await self._answer_once(request.name, request, lambda: self._update(request))

    async def contains(self, request: UpdateRequest, branch: str, revision: str) -> bool:
        return await self._engine.contains(request, branch, revision)

    async def has_content(self, request: UpdateRequest, branch: str, commit: str) -> bool:
        return await self._engine.has_content(request, branch, commit)

    async def retain(self, inside: Collection[str]) -> None:
        await retain(self._engine, inside, self._retention_s)

    async def keep_house(self) -> None:
        await keep_house(self._engine)

    async def close(self) -> None:
        tasks: list[asyncio.Task[Any]] = [*self._restoring, *(task for _, task in self._under_way.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._engine.close()

    async def _merge(self, request: MergeRequest) -> MergeAnswer:
        made = await self._engine.make(request, lambda: self._recall_ahead(request.ahead))
        return replace(made.record.answer(self._url), tip=made.tip)

    async def _update(self, request: UpdateRequest) -> MergeAnswer:
        await self._engine.update(request)
        return MergeAnswer(request.name, MergeOutcome.MERGED, url=self._url)

    async def _recall_ahead(self, name: str | None) -> Record | None:
        """The state ahead, once it is there; made again if its refs were lost. Raises AheadError."""
        if name is None:
            return None
        if name in self._under_way:
            await asyncio.wait([self._under_way[name][1]])
        record = await self._engine.recall(name)
        if record is None:
            unknown = MergeAnswer(name, MergeOutcome.INTERNAL, detail="this merger knows nothing of it")
            raise AheadError(self._failures.get(name, unknown))
        if record.conflict:
            raise AheadError(record.answer(self._url))
        if not await self._engine.is_published(record):
            answer = await self.merge(record.request)
            if answer.outcome is not MergeOutcome.MERGED:
                raise AheadError(answer)
            record = await self._engine.recall(name) or record
        return record

    def _restore_soon(self, project: str) -> None:
        task = asyncio.get_running_loop().create_task(self._restore(project), name=f"restoring {project}")
        self._restoring.add(task)
        task.add_done_callback(self._restoring.discard)

    async def _restore(self, project: str) -> None:
        """A new clone has nothing of what was published before: builds may be about to fetch it."""
        lost = await self._engine.of_use(project, time.time() - RESTORED_S)
        if lost:
            log.warning("states are made again in a new clone", project=project, states=len(lost))
        for request in lost:
            await self.merge(request)

    # --- one answer a name, whatever happens ---

    async def _answer_once(self, name: str, request: Request, work: Work) -> MergeAnswer:
        if name not in self._under_way:
            task = asyncio.get_running_loop().create_task(self._answer(name, request, work), name=f"merge {name}")
            self._under_way[name] = (request, task)
            task.add_done_callback(lambda _: self._under_way.pop(name))
        asked, task = self._under_way[name]
        if asked != request:
            return MergeAnswer(name, MergeOutcome.INTERNAL, detail=f"{name} is being made for another request")
        return await asyncio.shield(task)

    async def _answer(self, name: str, request: Request, work: Work) -> MergeAnswer:
        begun = time.monotonic()
        try:
            answer = await work()
            self.trouble = ""
        except AheadError as problem:
            ahead = problem.answer
            answer = MergeAnswer(name, ahead.outcome, url=self._url, paths=ahead.paths, detail=str(problem))
        except (
            MissingRefError,
            MissingBranchError,
            FetchError,
            MismatchError,
            DamagedError,
            UnsafeNameError,
            GitError,
            OSError,
        ) as problem:
            outcome = _OUTCOMES.get(type(problem), MergeOutcome.INTERNAL)
            if isinstance(problem, GitError | OSError):
                self.trouble = f"merging fails: {problem}"
            answer = MergeAnswer(name, outcome, url=self._url, detail=str(problem))
        self._remember(answer)
        _tell(request, answer, time.monotonic() - begun)
        return answer

    def _remember(self, answer: MergeAnswer) -> None:
        """Failures without a record, for those behind that ask for their reason."""
        self._failures.pop(answer.ref, None)
        if answer.outcome is not MergeOutcome.MERGED:
            self._failures[answer.ref] = answer
            if len(self._failures) > FAILURES_REMEMBERED:
                self._failures.popitem(last=False)


def _tell(request: Request, answer: MergeAnswer, took_s: float) -> None:
    facts = {"project": request.project, "name": answer.ref, "took_s": round(took_s, 3)}
    if isinstance(request, MergeRequest):
        facts |= {"change": f"{request.number},{request.patchset}", "branch": request.branch}
    if answer.outcome is MergeOutcome.MERGED:
        log.info("merged" if answer.commit else "updated", commit=answer.commit, **facts)
    elif answer.outcome is MergeOutcome.CONFLICT:
        log.info("does not merge", reason=answer.detail, paths=answer.paths, **facts)
    else:
        log.warning("merge failed", outcome=answer.outcome.value, reason=answer.detail, **facts)
