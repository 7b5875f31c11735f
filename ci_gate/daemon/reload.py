"""Reading the files again, and handing a good layout to the scheduler as one input (ci-conf.md 1, scheduler.md 16).

By SIGHUP and by ``ci-gate reload``, which can also go back to the layout that was in force before.
Everything is read and checked beside the loop. Whatever is wrong leaves the running layout in force, and is told in
the log and on the status page until a reload succeeds. Keys of ``[zuul]`` that decide or shape reports take effect
with the layout; connections, ports and the like are those of the start.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from ci_gate.config.layout import LoadedLayout
from ci_gate.config.problems import Level, RefusedError
from ci_gate.config.read_settings import error_at, read_settings
from ci_gate.config.settings import Settings
from ci_gate.daemon.commands import CommandDesk
from ci_gate.daemon.functions import FunctionOracle
from ci_gate.daemon.loading import load_for_service
from ci_gate.daemon.logs import LogConfigError, set_up_logging
from ci_gate.daemon.operations import Observer
from ci_gate.daemon.records import RecordingOracle
from ci_gate.model.operations import CommandAnswer
from ci_gate.model.options import SchedulerSettings
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

    def __init__(
        self, settings: Settings, loaded: LoadedLayout, layout: Path | None, commands: CommandDesk, observer: Observer
    ) -> None:
        self._settings = settings
        self._layout = layout
        self._commands = commands
        self._observer = observer
        self._in_force = loaded
        self._former: LoadedLayout | None = None
        self._one_at_a_time = asyncio.Lock()
        self.refusal: Refusal | None = None

    async def reload(self) -> CommandAnswer:
        async with self._one_at_a_time:
            log.info("reloading", config=self._settings.path)
            try:
                loaded, options = await asyncio.to_thread(self._read)
            except RefusedError as refused:
                return self._refuse([str(each) for each in refused.problems if each.level is Level.ERROR])
            except LogConfigError as problem:
                return self._refuse([str(error_at(self._settings.path, "zuul", "log_config", str(problem)))])
            warnings = [each for each in loaded.problems if each.level is Level.WARNING]
            for each in warnings:
                log.warning(each.text, at=each.location)
            answer = await self._take(loaded, options)
            return replace(answer, lines=(*map(str, warnings), *answer.lines))

    async def begin(self) -> None:
        """The layout that was in force when the service ended makes way for the one it was started with."""
        async with self._one_at_a_time:
            oracle = RecordingOracle(FunctionOracle(self._in_force.functions))
            layout = self._in_force.layout
            await self._commands.carry_out(lambda at, ticket: LayoutReplaced(at, ticket, layout, oracle))

    async def go_back(self) -> CommandAnswer:
        """The layout before takes over again, as it was then; the one that leaves is what the next would return to."""
        async with self._one_at_a_time:
            if self._former is None:
                return CommandAnswer(done=False, lines=("no other layout was in force since the service started",))
            log.info("going back to the layout before")
            return await self._take(self._former)

    def _read(self) -> tuple[LoadedLayout, SchedulerSettings]:
        """The layout, and what else decides. In a thread. Raises RefusedError, LogConfigError."""
        settings, _ = read_settings(self._settings.path, layout=self._layout)
        if settings.connections != self._settings.connections:
            log.warning("connections have changed in the configuration: that takes a restart")
        loaded = load_for_service(replace(settings, connections=self._settings.connections))
        set_up_logging(settings.log_config)
        return loaded, replace(settings.scheduler, shadow=self._settings.scheduler.shadow)

    async def _take(self, loaded: LoadedLayout, options: SchedulerSettings | None = None) -> CommandAnswer:
        oracle = RecordingOracle(FunctionOracle(loaded.functions))
        answer = await self._commands.carry_out(
            lambda at, ticket: LayoutReplaced(at, ticket, loaded.layout, oracle, options)
        )
        if answer.done:
            self.refusal = None
            self._former, self._in_force = self._in_force, loaded
            layout = loaded.layout
            log.info("reloaded", pipelines=len(layout.pipelines), projects=len(layout.projects), told=answer.lines)
        return answer

    def _refuse(self, reasons: list[str]) -> CommandAnswer:
        self.refusal = Refusal(tuple(reasons))
        for each in reasons:
            log.error("reload refused", reason=each)
        self._observer.trouble("reload", reasons[0])
        return CommandAnswer(done=False, lines=(*reasons, "nothing was changed: the layout before is in force"))
