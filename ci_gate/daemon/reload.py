"""SIGHUP: read the files again, and hand a good layout to the scheduler as one input (ci-conf.md 1, scheduler.md 16).

Everything is read and checked beside the loop. Whatever is wrong leaves the running layout in force, and is told in
the log and on the status page until a reload succeeds. Connections, ports and the like are those of the start.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from ci_gate.config.layout import LoadedLayout, load_layout
from ci_gate.config.problems import Level, RefusedError
from ci_gate.config.read_settings import read_settings
from ci_gate.config.settings import Settings
from ci_gate.daemon.functions import FunctionOracle
from ci_gate.daemon.inbox import Inbox
from ci_gate.daemon.logs import LogConfigError, set_up_logging
from ci_gate.daemon.operations import Observer
from ci_gate.daemon.refusals import not_yet
from ci_gate.scheduler.inputs import LayoutReplaced

log = structlog.stdlib.get_logger("zuul.Server")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the last reload did not take effect: all reasons, the first of them for the status page."""

    reasons: tuple[str, ...]

    def __str__(self) -> str:
        more = f" (and {len(self.reasons) - 1} more; see the log)" if len(self.reasons) > 1 else ""
        return f"The last reload was refused, and the layout before it is in force: {self.reasons[0]}{more}"


class Reloader:
    """``layout`` is the one given on the command line: it stays whatever the configuration says."""

    def __init__(self, settings: Settings, layout: Path | None, inbox: Inbox, observer: Observer) -> None:
        self._settings = settings
        self._layout = layout
        self._inbox = inbox
        self._observer = observer
        self._one_at_a_time = asyncio.Lock()
        self.refusal: Refusal | None = None

    async def reload(self) -> None:
        async with self._one_at_a_time:
            log.info("reloading", config=self._settings.path)
            try:
                loaded = await asyncio.to_thread(self._read)
            except RefusedError as refused:
                self._refuse([str(each) for each in refused.problems if each.level is Level.ERROR])
            except LogConfigError as problem:
                self._refuse([str(problem)])
            else:
                self._take(loaded)

    def _read(self) -> LoadedLayout:
        """In a thread. Raises RefusedError, LogConfigError."""
        settings, _ = read_settings(self._settings.path)
        if self._layout is not None:
            settings = replace(settings, layout_config=self._layout)
        if settings.connections != self._settings.connections:
            log.warning("connections have changed in the configuration: that takes a restart")
        loaded = load_layout(
            settings.layout_config,
            connections=self._settings.drivers,
            noop_joins_queues=settings.scheduler.noop_joins_queues,
        )
        set_up_logging(settings.log_config)
        return loaded

    def _take(self, loaded: LoadedLayout) -> None:
        reasons = list(not_yet(loaded.layout))
        if reasons:
            self._refuse(reasons)
            return
        for each in loaded.problems:
            if each.level is Level.WARNING:
                log.warning(each.text, at=each.location)
        self.refusal = None
        oracle = FunctionOracle(loaded.functions)
        self._inbox.put(lambda at: LayoutReplaced(at, loaded.layout, oracle))
        log.info("reloaded", pipelines=len(loaded.layout.pipelines), projects=len(loaded.layout.projects))

    def _refuse(self, reasons: list[str]) -> None:
        self.refusal = Refusal(tuple(reasons))
        for each in reasons:
            log.error("reload refused", reason=each)
        self._observer.trouble("reload", reasons[0])
