"""Writes each step to the journal, many by one commit, and hands out its effects once they would survive a crash.

The loop decides on while a thread writes: no step waits for the disk, only its effects do. If the journal cannot be
written the loop is told to take nothing more (``writable``), and the steps that are decided wait until it can.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue

import structlog

from ci_gate.daemon.history import HistoryWriter
from ci_gate.daemon.layouts import digest_of, encode_layout
from ci_gate.daemon.records import OracleAnswer, encode_answers, encode_effects, encode_input
from ci_gate.daemon.recovery import Standing
from ci_gate.failpoints import failpoint
from ci_gate.model.layout import Layout
from ci_gate.scheduler.effects import Effect
from ci_gate.scheduler.inputs import Input
from ci_gate.store.journal import DeposedError, Entry, Journal

MOST_AT_ONCE = 500  # steps in one commit
RETRY_S = 1.0

log = structlog.stdlib.get_logger("zuul.Journal")


@dataclass(frozen=True, slots=True)
class Step:
    """What was decided."""

    seq: int
    message: Input
    answers: Sequence[OracleAnswer]
    effects: list[Effect]


class Recorder:
    """``release`` is called on the loop's thread with the effects of each step, in order; ``trouble`` with a text.

    ``writable`` is cleared while the journal cannot be written.
    """

    def __init__(
        self,
        journal: Journal,
        standing: Standing,
        *,
        release: Callable[[list[Effect]], None],
        trouble: Callable[[str], None],
        deposed: Callable[[str], None] = lambda _: None,
    ) -> None:
        """``standing`` is brought up to each step that is written. ``deposed`` is told when another service writes."""
        self._journal = journal
        self._history = HistoryWriter(journal)
        self._standing = standing
        self._seq = standing.seq
        self._release = release
        self._trouble = trouble
        self._deposed = deposed
        self._steps: SimpleQueue[Step | None] = SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._released = standing.seq
        self._ended = asyncio.Event()
        self.writable = asyncio.Event()
        self.writable.set()
        self.problem: str | None = None
        self.given_up: list[Step] = []
        """At the end: what was decided, and could not be written. Nothing of it has left."""
        self._closing = threading.Event()
        threading.Thread(target=self._work, name="journal", daemon=True).start()

    @property
    def seq(self) -> int:
        """Of the last step that was handed in."""
        return self._seq

    @property
    def released(self) -> int:
        """The last step that is in the journal, with its effects handed out."""
        return self._released

    def record(self, message: Input, answers: Sequence[OracleAnswer], effects: list[Effect]) -> None:
        self._seq += 1
        self._steps.put(Step(self._seq, message, answers, effects))

    async def close(self) -> None:
        """What was handed in is written, unless the journal cannot be."""
        self._steps.put(None)
        if self.problem is not None:
            self._closing.set()
        await self._ended.wait()

    # --- in the thread ---

    def _work(self) -> None:
        try:
            while (batch := self._next()) is not None:
                if self._write(batch):
                    self._note(batch)
                    self._call(self._written, batch)
                    self._history.follow((one for each in batch for one in each.effects), batch[-1].seq)
                else:
                    self.given_up += batch
        except DeposedError as problem:
            self.problem = str(problem)
            self._call(self._deposed, str(problem))
        finally:
            self._call(self._ended.set)

    def _next(self) -> list[Step] | None:
        """At least one step; None at the end."""
        first = self._steps.get()
        if first is None:
            return None
        batch = [first]
        while len(batch) < MOST_AT_ONCE and not self._steps.empty():
            following = self._steps.get()
            if following is None:
                self._steps.put(None)
                break
            batch.append(following)
        return batch

    def _write(self, batch: list[Step]) -> bool:
        """Until it is done; what an unclear try left is looked for before the next. False: given up at the end.

        Raises DeposedError: then nothing of it is kept, and nothing will be.
        """
        while True:
            try:
                last = self._journal.last_seq() if self.problem else 0
                entries = [self._entry(each) for each in batch if each.seq > last]
                self._journal.append(entries, self._released)
            except DeposedError:
                raise
            except Exception as problem:  # noqa: BLE001  # whatever it is: nothing is released that is not written
                self._tell(f"{type(problem).__name__}: {str(problem).splitlines()[0]}")
                self._journal.close()
                if self._closing.wait(RETRY_S):
                    return False
            else:
                if self.problem:
                    self._tell(None)
                return True

    def _entry(self, step: Step) -> Entry:
        return Entry(
            step.seq,
            step.message.at,
            type(step.message).__name__,
            encode_input(step.message, self._keep_layout),
            encode_answers(step.answers),
            encode_effects(step.effects),
        )

    def _keep_layout(self, layout: Layout) -> str:
        text = encode_layout(layout)
        digest = digest_of(text)
        self._journal.keep_layout(digest, text)
        return digest

    def _note(self, batch: list[Step]) -> None:
        for each in batch:
            self._standing.outstanding.step(each.message, each.effects)
        self._standing.seq = batch[-1].seq

    def _tell(self, problem: str | None) -> None:
        if problem != self.problem:
            self.problem = problem
            self._call(self._told, problem)

    def _call(self, call: Callable[..., object], *arguments: object) -> None:
        self._loop.call_soon_threadsafe(call, *arguments)

    # --- on the loop's thread ---

    def _written(self, batch: list[Step]) -> None:
        failpoint("release.before")
        for each in batch:
            self._release(each.effects)
        self._released = batch[-1].seq
        failpoint("release.after")

    def _told(self, problem: str | None) -> None:
        if problem is None:
            log.info("the journal can be written again")
            self.writable.set()
            return
        log.error("the journal cannot be written; nothing new is taken until it can", reason=problem)
        self._trouble(text_for_people(problem))
        self.writable.clear()


def text_for_people(problem: str) -> str:
    """For the status page."""
    return f"the journal cannot be written, and nothing new is taken: {problem}"
