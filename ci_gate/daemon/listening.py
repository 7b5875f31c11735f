"""All that listens to Gerrits: for each connection its stream, and the looks for what that has missed."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

from ci_gate.config.settings import WEBHOOKS, GerritSettings
from ci_gate.daemon.catching_up import CatchingUp, Surroundings, Wanted
from ci_gate.daemon.draining import Waiting
from ci_gate.daemon.gerrit_metrics import GerritMetrics
from ci_gate.daemon.inbox import Inbox
from ci_gate.daemon.operations import Observer
from ci_gate.daemon.recorder import Recorder
from ci_gate.gerrit.access import GerritAccess
from ci_gate.gerrit.rest_access import RestAccess
from ci_gate.gerrit.stream import EventStream, StreamState
from ci_gate.gerrit.webhooks import Webhooks
from ci_gate.model.event import Event
from ci_gate.model.layout import Layout
from ci_gate.model.operations import CatchUp
from ci_gate.scheduler.codec import decode
from ci_gate.scheduler.inputs import EventReceived
from ci_gate.scheduler.scheduler import Scheduler
from ci_gate.statsd import StatsdLines
from ci_gate.store.journal import Journal
from ci_gate.store.marks import Mark, Marks

LOOK_S = 0.02
LATE_S = 30.0  # for Gerrit to tell of something, and for clocks that differ
REF_EVENTS = frozenset({"ref-updated"})


@dataclass(frozen=True, slots=True)
class Listener:
    """One Gerrit connection."""

    stream: EventStream | Webhooks
    catching_up: CatchingUp

    @classmethod
    def on(cls, settings: GerritSettings, access: GerritAccess, marks: Marks, surroundings: Surroundings) -> Listener:
        def heard(event: Event) -> None:
            access.peer.labels.heard(event)
            take(event)

        def looked(state: CatchUp, seconds: float) -> None:
            surroundings.looked(state, seconds)
            if isinstance(stream, EventStream) and is_fed_no_more(
                stream.state, catching_up.newest_found_at, time.time()
            ):
                stream.replace("things happened of which Gerrit told nothing")

        catching_up = CatchingUp(settings, access, marks, replace(surroundings, looked=looked))
        stream: EventStream | Webhooks
        if settings.stream == WEBHOOKS:
            take, stream = catching_up.posted, Webhooks(settings, heard, catching_up.gap)
        else:
            take, stream = catching_up.arrived, EventStream(settings, heard, catching_up.gap, access.peer.alert)
        return cls(stream, catching_up)


def is_fed_no_more(stream: StreamState, found_at: float, now: float) -> bool:
    """Is the stream open for long and well, and silent since before something that a look found?

    Its server may answer everything else. ``found_at``: when the newest thing that looks found has happened.
    """
    heard_at = stream.last_event_at or 0.0
    return stream.connected and stream.since + LATE_S < found_at < now - LATE_S and heard_at < found_at - LATE_S


def listeners(
    gerrits: Iterable[GerritSettings],
    accesses: Mapping[str, GerritAccess],
    marks: Marks,
    *,
    take: Callable[[Event], None],
    inbox: Inbox,
    scheduler: Scheduler,
    recorder: Recorder,
    observer: Observer,
) -> dict[str, Listener]:
    """One for each connection, all of whose events ``take`` is given; the observer knows them. Nothing is started."""
    metrics = GerritMetrics(StatsdLines.from_environment(os.environ))

    def listener(settings: GerritSettings) -> Listener:
        name, access = settings.name, accesses[settings.name]
        access.peer.alert = partial(observer.trouble, f"Gerrit {name}")
        access.peer.measured = lambda seconds: metrics.command(seconds, access.peer.pace.load)
        around = Surroundings(
            wanted=lambda: wanted_of(scheduler.layout, name),
            take=take,
            backlog=lambda: inbox.waiting_events + scheduler.waiting_events,
            journaled=lambda: journaled(inbox, recorder),
            looked=metrics.look,
            logged=access.logged_events if isinstance(access, RestAccess) else None,
        )
        return Listener.on(settings, access, marks, around)

    found = {each.name: listener(each) for each in gerrits}
    observer.peers = {name: each.peer for name, each in accesses.items()}
    observer.streams = {name: each.stream for name, each in found.items()}
    observer.catch_ups = {name: each.catching_up for name, each in found.items()}
    return found


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
