"""status.json as bytes, made at most once every expiry time and beside the loop's thread (outputs.md 5).

``app.py`` asks for the current rendering at every request. What does not move with the clock is encoded once for
each picture that the scheduler draws of an item, so that a rendering of a thousand items costs little.
"""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from ci_gate.model.item import BuildView, ItemView, PipelineView, QueueView, StatusView
from ci_gate.model.operations import Operations
from ci_gate.web.status import (
    Document,
    identity,
    item_constants,
    job_constants,
    job_times,
    not_before,
    operations_document,
    pipeline_constants,
    queue_constants,
    remaining_time,
    top_constants,
)

_encode = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Page:
    """Bytes to send, with what their headers need. ``rendered_at`` is seconds since the epoch."""

    body: bytes
    gzipped: bytes
    etag: str
    rendered_at: float

    @classmethod
    def of(cls, text: str, rendered_at: float) -> Page:
        body = text.encode()
        return cls(
            body,
            gzip.compress(body, compresslevel=1, mtime=0),
            blake2b(body, digest_size=12).hexdigest(),
            rendered_at,
        )


@dataclass(frozen=True, slots=True)
class Rendering:
    """The whole document, and the text of each item by its id (an item may be in several pipelines)."""

    page: Page
    items: Mapping[str, list[str]]

    def items_page(self, item_id: str) -> Page:
        """A list of the items with this id; empty if there is none."""
        return Page.of(_array(self.items.get(item_id, [])), self.page.rendered_at)


class Renderer:
    """Keeps the last rendering until it is ``expiry_s`` old. Used on the loop's thread; works in one of its own.

    That one is not shared with calls to the outside: when those hang, this page is what people look at.
    """

    def __init__(
        self,
        view: Callable[[], StatusView],
        operations: Callable[[], Operations],
        clock: Callable[[], float],
        expiry_s: float,
    ) -> None:
        self._view = view
        self._operations = operations
        self._clock = clock
        self._expiry_s = expiry_s
        self._encoder = Encoder()
        self._last: Rendering | None = None
        self._one_at_a_time = asyncio.Lock()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="status")

    async def current(self) -> Rendering:
        async with self._one_at_a_time:
            now = self._clock()
            if self._last is None or not 0 <= now - self._last.page.rendered_at < self._expiry_s:
                loop = asyncio.get_running_loop()
                view, operations = self._view(), self._operations()
                self._last = await loop.run_in_executor(self._thread, self._render, view, operations, now)
            return self._last

    def _render(self, view: StatusView, operations: Operations, now: float) -> Rendering:
        text, items = self._encoder.encode(view, now=now, extra=operations_document(operations))
        return Rendering(Page.of(text, now), items)

    def close(self) -> None:
        self._thread.shutdown()


@dataclass(frozen=True, slots=True)
class _ItemText:
    """An item's constants as text; the objects are left open, so that the times can be appended."""

    drawn: ItemView
    opened: str
    jobs: tuple[tuple[str, BuildView | None], ...]


class Encoder:
    """Makes the same document as ``status_document``, as text, and remembers the items of the last one."""

    def __init__(self) -> None:
        self._kept: dict[int, _ItemText] = {}  # by identity of the picture, which each entry keeps alive
        self._used: dict[int, _ItemText] = {}
        self._by_id: dict[str, list[str]] = {}

    def encode(self, view: StatusView, *, now: float, extra: Mapping[str, Any]) -> tuple[str, Mapping[str, list[str]]]:
        """The document, and the texts of its items by their ids."""
        self._used, self._by_id = {}, {}
        pipelines = _array([self._pipeline(pipeline, now) for pipeline in view.pipelines])
        self._kept = self._used
        return f'{_opened(top_constants(view, extra))},"pipelines":{pipelines}}}', self._by_id

    def _pipeline(self, pipeline: PipelineView, now: float) -> str:
        queues = _array([self._queue(queue, now) for queue in pipeline.queues])
        return f'{_opened(pipeline_constants(pipeline))},"change_queues":{queues}}}'

    def _queue(self, queue: QueueView, now: float) -> str:
        heads = _array([self._head(head, now) for head in queue.heads])
        return f'{_opened(queue_constants(queue))},"heads":{heads}}}'

    def _head(self, head: tuple[ItemView, ...], now: float) -> str:
        items: list[str] = []
        remaining: int | None = None
        for item in head:
            remaining = not_before(remaining, remaining_time(item, now))
            items.append(self._item(item, remaining, now))
        return _array(items)

    def _item(self, item: ItemView, remaining: int | None, now: float) -> str:
        constants = self._constants(item)
        jobs = _array([_job(opened, build, now) for opened, build in constants.jobs])
        text = f'{constants.opened},"remaining_time":{_number(remaining)},"jobs":{jobs}}}'
        item_id = identity(item.subject)
        if item_id is not None:
            self._by_id.setdefault(item_id, []).append(text)
        return text

    def _constants(self, item: ItemView) -> _ItemText:
        kept = self._kept.get(id(item))
        if kept is None:
            jobs = tuple((_opened(job_constants(job, item.pipeline)), job.build) for job in item.jobs)
            kept = _ItemText(item, _opened(item_constants(item)), jobs)
        self._used[id(item)] = kept
        return kept


def _job(opened: str, build: BuildView | None, now: float) -> str:
    elapsed, remaining = job_times(build, now)
    return f'{opened},"elapsed_time":{_number(elapsed)},"remaining_time":{_number(remaining)}}}'


def _opened(document: Document) -> str:
    """The text of a non-empty object without its closing brace."""
    return _encode(document)[:-1]


def _array(texts: list[str]) -> str:
    return f"[{','.join(texts)}]"


def _number(value: int | None) -> str:
    return "null" if value is None else str(value)
