"""How the service itself is doing, for the status page: gathered from its parts when somebody looks."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping

from ci_gate.daemon.catching_up import CatchingUp
from ci_gate.daemon.leadership import Lead
from ci_gate.daemon.waits import Waits
from ci_gate.gearman.build import Counts
from ci_gate.gearman.launcher import GearmanLauncher
from ci_gate.gerrit.peer import Peer
from ci_gate.gerrit.stream import EventStream
from ci_gate.gerrit.webhooks import Webhooks
from ci_gate.model.operations import BuildStatistics, CatchUp, ConnectionHealth, ConnectionState, Operations, Trouble
from ci_gate.scheduler.explain import Code, Decision
from ci_gate.scheduler.scheduler import Scheduler
from ci_gate.sql.database import ResultsDatabase

MOST_TROUBLES = 20


class Observer:
    """Counts what decisions tell, keeps the last troubles, and asks the parts for their state."""

    def __init__(self, scheduler: Scheduler, waits: Waits, *, started_at: float) -> None:
        self._scheduler = scheduler
        self._waits = waits
        self._started_at = started_at
        self._troubles: deque[Trouble] = deque(maxlen=MOST_TROUBLES)
        self._succeeded = self._failed = self._lost = 0
        self.streams: Mapping[str, EventStream | Webhooks] = {}
        self.catch_ups: Mapping[str, CatchingUp] = {}
        self.peers: Mapping[str, Peer] = {}
        self.launcher: GearmanLauncher | None = None
        self.databases: Mapping[str, ResultsDatabase] = {}
        self.lead = Lead()

    def trouble(self, owner: str, text: str) -> None:
        self._troubles.appendleft(Trouble(time.time(), owner, text))

    def observe(self, decisions: Iterable[Decision]) -> None:
        for each in decisions:
            if each.code is Code.BUILD_ENDED:
                succeeded = dict(each.values)["result"] == "SUCCESS"
                self._succeeded += succeeded
                self._failed += not succeeded
            elif each.code is Code.BUILD_LOST:
                self._lost += 1
            elif each.code is Code.REPORT_GIVEN_UP:
                self._troubles.appendleft(Trouble(each.at, f"report on {each.subject}", each.text))

    def operations(self) -> Operations:
        return Operations(
            started_at=self._started_at,
            connections=tuple(self._connections()),
            waits=self._waits.under_way(),
            undelivered=self._scheduler.undelivered_reports(),
            troubles=tuple(self._troubles),
            builds=self._builds(),
            catch_ups=tuple(each.state for each in self.catch_ups.values()),
            commands=tuple(each.pace.load for each in self.peers.values()),
            stalls=self.launcher.stalls if self.launcher else (),
        )

    def _connections(self) -> Iterator[ConnectionHealth]:
        for name, stream in self.streams.items():
            seen = stream.state
            state = ConnectionState.UP if seen.connected else ConnectionState.CONNECTING
            catching_up = self.catch_ups.get(name)
            detail = seen.detail or (_caught_up(catching_up.state) if catching_up else "")
            yield ConnectionHealth(name, "Gerrit stream", state, seen.since, detail)
        if self.launcher is not None:
            known = self.launcher.state
            state = ConnectionState.UP if known.connected else ConnectionState.CONNECTING
            yield ConnectionHealth(known.server, "Gearman", state, known.since, known.detail)
        yield from (each.health for each in self.databases.values())
        if self.lead.health is not None:
            yield self.lead.health

    def _builds(self) -> BuildStatistics:
        counts = self.launcher.state.counts if self.launcher else Counts()
        return BuildStatistics(
            waiting=counts.waiting + counts.queued,
            running=counts.running + counts.unknown,
            succeeded=self._succeeded,
            failed=self._failed,
            lost=self._lost,
        )


def _caught_up(state: CatchUp) -> str:
    """For people, while the stream is up."""
    if state.problem:
        return f"cannot look for missed events: {state.problem}"
    return f"missed events found and taken: {state.found_total}" if state.found_total else ""
