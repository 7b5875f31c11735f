"""What the launcher tells of builds becomes inputs, with our own run times as estimates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from ci_gate.daemon.inbox import Inbox
from ci_gate.failpoints import failpoint
from ci_gate.model.build import Begun, BuildEnd, BuildRequest, BuildUpdate, NumberedBuild
from ci_gate.scheduler.inputs import BuildEnded, BuildUpdated
from ci_gate.store.estimates import Estimates


class Launcher(Protocol):
    """What runs builds, or knows somebody who does. All return at once."""

    def launch(self, request: BuildRequest, begun: Begun | None = None, *, again: bool = False) -> None: ...

    def cancel(self, uuid: str) -> None: ...

    def describe(self, builds: Sequence[NumberedBuild], html: str) -> None: ...


class Builds:
    """Used on the loop's thread only. Knows which job each build under way is of."""

    def __init__(self, inbox: Inbox, estimates: Estimates) -> None:
        self._inbox = inbox
        self._estimates = estimates
        self._jobs: dict[str, str] = {}

    def launched(self, request: BuildRequest) -> None:
        self._jobs[request.uuid] = request.job

    def canceled(self, uuid: str) -> None:
        self._jobs.pop(uuid, None)

    def updated(self, update: BuildUpdate) -> None:
        job = self._jobs.get(update.uuid)
        if job is not None and update.started:
            known = self._estimates.get(job)
            update = replace(update, estimate_s=known if known is not None else update.estimate_s)
        self._inbox.put(lambda at: BuildUpdated(at, update))

    def ended(self, end: BuildEnd) -> None:
        self._jobs.pop(end.uuid, None)
        failpoint("build.ended")
        self._inbox.put(lambda at: BuildEnded(at, end))
