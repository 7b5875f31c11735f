"""The service: every part made, wired, started in order and stopped in order.

``Service.run`` is what ``ci-gate serve`` does between its start and SIGTERM.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import structlog
from aiohttp import web
from sqlalchemy.exc import SQLAlchemyError

from ci_gate.config.layout import LoadedLayout
from ci_gate.config.settings import Settings, SmtpSettings, SqlSettings
from ci_gate.daemon import draining
from ci_gate.daemon.admin import AdminSocket, AdminSocketError, Handler, Request
from ci_gate.daemon.beginning import Beginning, address_of
from ci_gate.daemon.builds import Builds
from ci_gate.daemon.commands import CommandDesk
from ci_gate.daemon.deciding import Decider
from ci_gate.daemon.gate import Gate
from ci_gate.daemon.inbox import Inbox
from ci_gate.daemon.listening import Listener, journaled, listeners, restore
from ci_gate.daemon.lost_builds import start_records
from ci_gate.daemon.merging import retain_states, start_merger
from ci_gate.daemon.metrics import Metrics
from ci_gate.daemon.notify import notify, tell_watchdog
from ci_gate.daemon.operations import Observer
from ci_gate.daemon.outbox import Outbox, Tools
from ci_gate.daemon.progress import Progress
from ci_gate.daemon.recorder import Recorder, text_for_people
from ci_gate.daemon.recovery import keep
from ci_gate.daemon.reload import Reloader
from ci_gate.daemon.requests import commit_urls, gearman_functions, handlers
from ci_gate.daemon.restoring import restore_states
from ci_gate.daemon.routes import routes_of
from ci_gate.daemon.serving import serve
from ci_gate.daemon.shadowing import BANNER, Shadow, ShadowOutbox
from ci_gate.daemon.snapshotting import make_snapshots
from ci_gate.daemon.standing_by import leader_routes
from ci_gate.daemon.starting import StartError
from ci_gate.daemon.timers import Timers
from ci_gate.daemon.tips import BranchTips
from ci_gate.daemon.waits import Waits
from ci_gate.gearman.functions_offered import OfferedFunctions
from ci_gate.gearman.launcher import GearmanLauncher
from ci_gate.gearman.server_process import GearmanServerError, ServerProcess
from ci_gate.gerrit.access import GerritAccess, open_access
from ci_gate.job_servers import addresses
from ci_gate.merger.interface import Merger
from ci_gate.model.event import Event
from ci_gate.model.item import StatusView
from ci_gate.model.operations import CommandAnswer
from ci_gate.scheduler.inputs import EventReceived, TimeCame
from ci_gate.sql.database import ResultsDatabase
from ci_gate.statsd import StatsdLines
from ci_gate.store.estimates import FileEstimates
from ci_gate.store.journal import Journal
from ci_gate.store.marks import Marks
from ci_gate.web.app import make_app

log = structlog.stdlib.get_logger("zuul.Server")


class Service:
    """One run of the service, from settings and a layout without errors."""

    def __init__(
        self,
        settings: Settings,
        loaded: LoadedLayout,
        beginning: Beginning,
        *,
        given_layout: Path | None = None,
    ) -> None:
        """``given_layout`` is the file that was named on the command line, which reloads keep to."""
        self.settings = settings
        self.inbox = Inbox()
        self.waits = Waits()
        self._beginning = beginning
        self._lead = beginning.lead
        self.scheduler = beginning.standing.scheduler
        self.observer = Observer(self.scheduler, self.waits, started_at=self.inbox.now())
        self.observer.lead = beginning.lead
        if beginning.loss is not None:
            self.observer.trouble("journal", beginning.loss)
        self._shadow = Shadow(settings, self.scheduler, self.inbox.now) if settings.scheduler.shadow else None
        lines = StatsdLines.from_environment(os.environ) if self._shadow is None else None
        self._tips = BranchTips(self._complete_since)
        self._timers = Timers(self.inbox)
        self._timers.use(loaded.layout)
        self._metrics = Metrics(lines) if lines else None
        self._decider = Decider(
            self.scheduler,
            self.inbox,
            oracle=beginning.oracle,
            observer=self.observer,
            timers=self._timers,
            metrics=self._metrics,
            decided=self._stop_if_drained,
        )
        self._commands = CommandDesk(self.inbox)
        self._reloader = Reloader(settings, loaded, given_layout, self._commands, self.observer)
        self._reload_wanted = asyncio.Event()
        self._stopping = asyncio.Event()
        self._draining = False
        self._pools: dict[str, GerritAccess] = {}
        self._recorder: Recorder | None = None
        self._kept = draining.KeptEvents(settings.state_dir, address_of(settings), shared=self._lead.is_shared)

    def stop(self) -> None:
        """End ``run``: cleanly, and within seconds."""
        self._stopping.set()

    def drain(self) -> None:
        """End ``run`` when what runs has come to its end; events that come meanwhile are for the next start."""
        self._draining = True
        self.inbox.hold_events()
        self._stop_if_drained()

    def reload(self) -> None:
        """Read configuration and layout again, beside all other work."""
        self._reload_wanted.set()

    async def run(self, started: Callable[[], None] = lambda: None) -> None:
        """Serve until ``stop``. Raises StartError if a part cannot start; ``started`` tells that all have."""
        async with AsyncExitStack() as parts:
            await self._start_admin(parts)
            await self._start_gearman_server(parts)
            merger = await start_merger(self.settings, parts)
            outbox = await self._start_workers(parts, merger)
            gate = Gate(self._lead, outbox.release)
            kept = await asyncio.to_thread(self._kept.read)
            for each in kept:
                self.inbox.put(partial(_again, each))
            recorder = self._recorder = Recorder(
                self._beginning.journal,
                self._beginning.standing,
                release=gate.pass_on,
                trouble=partial(self.observer.trouble, "journal"),
                deposed=self._lead.lose,
            )
            parts.push_async_callback(self._end_journal, recorder)
            listening = await self._listeners(recorder, kept)
            await serve(self._web_app(merger), self.settings.web, parts)  # from its first answer it names every part
            restoring = asyncio.create_task(restore_states(merger, self._beginning.made_elsewhere))
            await asyncio.sleep(0)  # the outbox's merges may stand on these: they come first
            gate.pass_on(self._beginning.standing.to_repeat, again=True)
            async with asyncio.TaskGroup() as tasks:
                running = [
                    restoring,
                    tasks.create_task(self._decider.run(recorder), name="scheduler"),
                    tasks.create_task(self._make_snapshots(recorder), name="snapshots"),
                    tasks.create_task(self.waits.watch(), name="watchdog"),
                    tasks.create_task(
                        tell_watchdog(Progress(self.inbox, recorder).is_stuck), name="systemd's watchdog"
                    ),
                    tasks.create_task(self._reload_when_wanted(), name="reloader"),
                    tasks.create_task(self._timers.run(), name="timers"),
                    tasks.create_task(merger.keep_house(), name="housekeeping of the merger"),
                    tasks.create_task(retain_states(merger, self.scheduler.states_in_use), name="retention of states"),
                ]
                for name, listener in listening.items():
                    running.append(tasks.create_task(listener.stream.run(), name=f"stream {name}"))
                    running.append(tasks.create_task(listener.catching_up.run(), name=f"missed events {name}"))
                running += [
                    tasks.create_task(each.look(), name=f"database {name}")
                    for name, each in self.observer.databases.items()
                ]
                running.append(tasks.create_task(self._forget_kept_events(recorder), name="events of the last stop"))
                if self._beginning.layout_is_new:
                    running.append(tasks.create_task(self._reloader.begin(), name="first layout"))
                started()
                notify("READY=1")
                self._lead.when_lost(self.stop)
                await self._stopping.wait()
                notify("STOPPING=1")
                for task in running:
                    task.cancel()

    # --- the journal and the end ---

    def _stop_if_drained(self) -> None:
        if not self._draining or self._stopping.is_set():
            return
        if not self.scheduler.has_work_under_way and self.inbox.is_quiet:
            log.info("all that ran has ended")
            self.stop()

    async def _make_snapshots(self, recorder: Recorder) -> None:
        settings = self.settings
        await make_snapshots(address_of(settings), lambda: recorder.seq, settings.database)

    async def _end_journal(self, recorder: Recorder) -> None:
        """After a clean stop a start has nothing to decide again, and events that were not taken are looked at then."""
        await recorder.close()
        standing = self._beginning.standing
        if recorder.problem is None and not self._lead.lost:
            standing.scheduler, standing.layout = self.scheduler, self.scheduler.layout
            try:
                await asyncio.to_thread(keep, self._beginning.journal, standing, time.time())
            except Exception as problem:  # noqa: BLE001  # the steps are there: a start decides them again
                log.warning("no snapshot at the end", reason=str(problem))
        if self._lead.lost:
            return
        not_written = [each.message for each in recorder.given_up if isinstance(each.message, draining.Waiting)]
        waiting = [*not_written, *self.inbox.held_events()]
        try:
            await asyncio.to_thread(self._kept.keep, waiting, after=recorder.released)
        except Exception as problem:  # noqa: BLE001  # no disk, no database: whatever it is, this service ends
            log.warning("events that were not looked at are lost", reason=str(problem))

    async def _forget_kept_events(self, recorder: Recorder) -> None:
        await journaled(self.inbox, recorder)
        try:
            await asyncio.to_thread(self._kept.forget)
        except (OSError, SQLAlchemyError) as problem:  # a start asks the journal which of them it has
            log.warning("events of the last stop are still kept", reason=str(problem))

    async def _reload_when_wanted(self) -> None:
        while True:
            await self._reload_wanted.wait()
            self._reload_wanted.clear()
            notify("RELOADING=1")
            await self._reloader.reload()
            notify("READY=1")

    # --- parts, in the order in which they start; they stop in reverse ---

    async def _start_admin(self, parts: AsyncExitStack) -> None:
        """First of all: what is only there if no other service works in the same folder."""
        known = {"reload": self._reload_by_command, **self._handlers()}
        admin = AdminSocket(self.settings.state_dir, known)
        try:
            await admin.start()
        except AdminSocketError as problem:
            raise StartError(str(problem)) from problem
        parts.push_async_callback(admin.stop)

    def _handlers(self) -> Mapping[str, Handler]:
        urls = commit_urls(self.settings.gerrits, lambda: self.scheduler.layout)
        return handlers(self._commands, self._view, self.scheduler.decisions, urls)

    async def _reload_by_command(self, request: Request) -> CommandAnswer:
        return await (self._reloader.go_back() if request.get("previous") else self._reloader.reload())

    async def _start_gearman_server(self, parts: AsyncExitStack) -> None:
        settings, port = self.settings.gearman_server, self.settings.gearman.port
        if not settings.start:
            return
        server = ServerProcess(settings, port, on_death=self._gearman_server_died)
        try:
            await server.start()
        except GearmanServerError as problem:
            raise StartError(f"the Gearman server cannot start: {problem}") from problem
        parts.push_async_callback(server.stop)

    async def _start_workers(self, parts: AsyncExitStack, merger: Merger) -> Outbox:
        settings, gearman = self.settings, self.settings.gearman
        estimates = await asyncio.to_thread(FileEstimates, settings.state_dir)
        self._pools = pools = {each.name: open_access(each, self._lead.holds) for each in settings.gerrits}
        for pool in pools.values():
            parts.push_async_callback(pool.close)
        builds = Builds(self.inbox, estimates)
        tools: Tools = {
            "gerrits": pools,
            "merger": merger,
            "tips": self._tips,
            "builds": builds,
            "estimates": estimates,
            "commands": self._commands,
            "options": settings.scheduler,
        }
        if self._shadow is not None:
            live = await self._shadow.start(builds, parts)
            shadowing = ShadowOutbox(self._shadow, live, self.scheduler, inbox=self.inbox, waits=self.waits, **tools)
            parts.push_async_callback(shadowing.close)
            return shadowing
        databases = {
            name: ResultsDatabase(each) for name, each in settings.connections.items() if isinstance(each, SqlSettings)
        }
        for database in databases.values():
            parts.callback(database.close)
        stalled = self._metrics.stalled if self._metrics else lambda _: None
        launcher = GearmanLauncher(
            gearman,
            on_update=builds.updated,
            on_end=builds.ended,
            on_stalls=stalled,
            state_dir=settings.state_dir,
            elsewhere=start_records(settings, parts),
            may_send=self._lead.holds,
        )
        self._lead.when_renewed(launcher.go_on)
        self.observer.launcher = launcher
        self.observer.databases = databases
        outbox = Outbox(
            self.inbox,
            self.waits,
            smtps={name: each for name, each in settings.connections.items() if isinstance(each, SmtpSettings)},
            databases=databases,
            launcher=launcher,
            **tools,
        )
        parts.push_async_callback(outbox.close)
        await launcher.start()
        parts.push_async_callback(launcher.stop)
        if gearman.admin_functions:
            functions = gearman_functions(self._handlers())
            offered = OfferedFunctions(addresses(gearman.servers, gearman.tls), functions)
            await offered.start()
            parts.push_async_callback(offered.stop)
        return outbox

    def _web_app(self, merger: Merger) -> web.Application:
        return make_app(
            view=self._view,
            operations=self.observer.operations,
            settings=self.settings.web,
            routes=[*routes_of(self.settings.merger.git_dir, self.observer), *leader_routes(self._lead.holds)],
            trouble=lambda: self._standstill or merger.trouble,
        )

    def _view(self) -> StatusView:
        inside = self.scheduler.view()
        return replace(
            inside,
            trigger_queue_length=inside.trigger_queue_length + self.inbox.waiting_events,
            result_queue_length=self.inbox.waiting_results,
            message=" ".join(self._messages()) or None,
        )

    @property
    def _standstill(self) -> str | None:
        problem = self._recorder.problem if self._recorder is not None else None
        return text_for_people(problem) if problem is not None else None

    def _messages(self) -> Iterator[str]:
        if self._shadow is not None:
            yield BANNER
        if self._standstill is not None:
            yield f"{self._standstill}."
        if self._draining:
            yield draining.text_for_people(self.inbox.waiting_events)
        if self._reloader.refusal:
            yield str(self._reloader.refusal)

    async def _listeners(self, recorder: Recorder, kept: list[draining.Waiting]) -> dict[str, Listener]:
        marks = Marks(address_of(self.settings))
        found = listeners(
            self.settings.gerrits,
            self._pools,
            marks,
            take=self._event_arrived,
            inbox=self.inbox,
            scheduler=self.scheduler,
            recorder=recorder,
            observer=self.observer,
        )
        await asyncio.to_thread(restore, found, marks, Journal(address_of(self.settings)), kept)
        return found

    # --- what parts tell ---

    def _complete_since(self, connection: str) -> float | None:
        stream = self.observer.streams.get(connection)
        return stream.state.complete_since if stream is not None and stream.state.connected else None

    def _event_arrived(self, event: Event) -> None:
        self._tips.take(event)
        if self._shadow is not None:
            self._shadow.take(event)
        self.inbox.put(lambda at: EventReceived(at, event))

    def _gearman_server_died(self, text: str) -> None:
        self.observer.trouble("Gearman server", text)


def _again(kept: draining.Waiting, at: float) -> EventReceived | TimeCame:
    return replace(kept, at=at)
