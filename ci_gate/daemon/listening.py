"""All that listens to Gerrits: for each connection its stream, and the looks for what that has missed."""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from ci_gate.config.settings import GerritSettings
from ci_gate.daemon.catching_up import CatchingUp, Surroundings, Wanted
from ci_gate.daemon.draining import Waiting
from ci_gate.daemon.inbox import Inbox
from ci_gate.daemon.recorder import Recorder
from ci_gate.gerrit.commands import CommandPool
from ci_gate.gerrit.stream import EventStream
from ci_gate.model.event import Event
from ci_gate.model.layout import Layout
from ci_gate.scheduler.codec import decode
from ci_gate.scheduler.inputs import EventReceived
from ci_gate.scheduler.scheduler import Scheduler
from ci_gate.store.journal import Journal
from ci_gate.store.marks import Mark, Marks

LOOK_S = 0.02
REF_EVENTS = frozenset({"ref-updated"})


@dataclass(frozen=True, slots=True)
class Listener:
    """One Gerrit connection."""

    stream: EventStream
    catching_up: CatchingUp

    @classmethod
    def on(cls, settings: GerritSettings, pool: CommandPool, marks: Marks, surroundings: Surroundings) -> Listener:
        catching_up = CatchingUp(settings, pool, marks, surroundings)
        return cls(EventStream(settings, catching_up.arrived, catching_up.gap), catching_up)


def listeners(
    gerrits: Iterable[GerritSettings],
    pools: Mapping[str, CommandPool],
    marks: Marks,
    *,
    take: Callable[[Event], None],
    inbox: Inbox,
    scheduler: Scheduler,
    recorder: Recorder,
) -> dict[str, Listener]:
    """One for each connection, all of whose events ``take`` is given. Nothing is started."""

    def surroundings(name: str) -> Surroundings:
        return Surroundings(
            wanted=lambda: wanted_of(scheduler.layout, name),
            take=take,
            backlog=lambda: inbox.waiting_events + scheduler.waiting_events,
            journaled=lambda: journaled(inbox, recorder),
        )

    return {each.name: Listener.on(each, pools[each.name], marks, surroundings(each.name)) for each in gerrits}


def restore(found: Mapping[str, Listener], marks: Marks, journal: Journal, kept: Iterable[Waiting]) -> None:
    """What is known of the time before this start: from marks, journal and the events that the last stop kept.

    ``journal`` is one of its own, which is closed in the end. Blocks. Raises what SQLAlchemy raises.
    """
    now = time.time()
    for name, each in found.items():
        mark = marks.load(name)
        if mark is None:  # of which the next start has to know, however soon this one ends
            mark = Mark(now, now)
            marks.keep(name, mark)
        each.catching_up.begin(mark)
    since = min((each.catching_up.remembers_since for each in found.values()), default=now)
    events: dict[str, list[Event]] = defaultdict(list)
    try:
        for event in _recorded(journal, since):
            events[event.connection].append(event)
    finally:
        journal.close()
    for waiting in kept:
        if isinstance(waiting, EventReceived):
            events[waiting.event.connection].append(waiting.event)
    for name, each in found.items():
        each.catching_up.restore(events[name])


def _recorded(journal: Journal, since: float) -> Iterator[Event]:
    for text in journal.inputs(EventReceived.__name__, since):
        yield decode(json.loads(text), EventReceived).event


def wanted_of(layout: Layout, connection: str) -> Wanted:
    """The projects of the pipelines that take their changes from a connection."""
    sources = {each.name for each in layout.pipelines if each.source == connection}
    on_refs = {
        each.name
        for each in layout.pipelines
        if each.name in sources
        and any(trigger.trigger == connection and REF_EVENTS & set(trigger.types) for trigger in each.triggers)
    }

    def inside(pipelines: set[str]) -> list[str]:
        return sorted(name for name, project in layout.projects.items() if pipelines & project.trees.keys())

    return Wanted(inside(sources), inside(on_refs))


async def journaled(inbox: Inbox, recorder: Recorder) -> None:
    """Until all that was put into the inbox so far is decided, and written."""
    put = inbox.events_put
    await _until(lambda: inbox.events_taken >= put)
    decided = recorder.seq
    await _until(lambda: recorder.released >= decided)


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  # counters that tell nobody; a look is in no hurry
        await asyncio.sleep(LOOK_S)
