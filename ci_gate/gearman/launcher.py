"""Builds over Gearman: launched, followed, cancelled (``spec/gearman-jenkins.md`` 3-5, 7 and 9).

The daemon gives it the builds that the scheduler wants and takes updates and ends back. Everything here runs on the
loop's thread and nothing blocks it: what takes time is a task, or happens in ``client.py``. The books are
``builds.py``'s.

When the server is lost (section 9)

* builds that were not sent yet stay queued, without limit and without counting;
* builds that the server had are asked for by their unique id on the next connection. One that still runs is
  attached to by submitting it again. One that is unknown there and had not started is sent again under the same id.
  One that is unknown there and had started ends without a result, uncounted: no worker can report it to a new
  server. Its old number is asked to stop. The same happens to a started build after 120 s without a connection;
* gearmand keeps a queued job whose client left as one to be skipped, and would skip a repeated submission with it:
  such a build ends without a result, uncounted, and is launched again under another id.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import structlog

from ci_gate.config.settings import GearmanSettings
from ci_gate.gearman import inquiry
from ci_gate.gearman.build import Doer, LauncherState
from ci_gate.gearman.builds import Builds
from ci_gate.gearman.client import ClientEvents, GearmanClient, NotSentError, RefusedError, Said, Submission
from ci_gate.gearman.elsewhere import Search
from ci_gate.gearman.functions import KnownFunctions
from ci_gate.gearman.inquiry import InquiryError, ServerKind, Standing
from ci_gate.gearman.stalls import StallWatch
from ci_gate.gearman.times import LauncherTimes
from ci_gate.job_servers import Address, addresses
from ci_gate.model.build import Begun, BuildEnd, BuildRequest, BuildUpdate, NumberedBuild
from ci_gate.model.elsewhere import Elsewhere
from ci_gate.model.operations import Stall

BATCH = 100  # submissions that are sent before their answers are waited for

log = structlog.stdlib.get_logger("zuul.Gearman")


class GearmanLauncher:
    """``on_update`` and ``on_end`` are called on the loop's thread, never from within a call of ours.

    A build that was cancelled is not heard of again. ``on_end`` comes once for every other build.
    """

    def __init__(
        self,
        settings: GearmanSettings,
        *,
        on_update: Callable[[BuildUpdate], None],
        on_end: Callable[[BuildEnd], None],
        on_stalls: Callable[[Sequence[Stall]], None] = lambda _: None,
        state_dir: Path | None = None,
        times: LauncherTimes | None = None,
        elsewhere: Elsewhere | None = None,
        may_send: Callable[[], bool] = lambda: True,
    ) -> None:
        """``elsewhere`` is where builds are looked for that no job server runs any more. Raises TlsError.

        While ``may_send`` says no, builds wait; ``go_on`` says that it has changed.
        """
        servers = addresses(settings.servers, settings.tls)
        self._server = servers[0]
        self._troubles: dict[Address, str] = {}
        self._check_registration = settings.check_job_registration
        self._on_update = on_update
        self._on_end = on_end
        self._times = times or LauncherTimes()
        self._may_send = may_send
        self._client = GearmanClient(servers, self._events(), reconnect_s=self._times.reconnect)
        self._functions = KnownFunctions(state_dir, stable_s=self._times.list_stable, limit_s=self._times.list_limit)
        self._connection: int | None = None
        self._since = time.time()
        self._detail = "not started"
        self._asked_at: float | None = None
        self._to_send = asyncio.Event()
        self._to_resolve = asyncio.Event()
        doer = self._doer()
        self._builds = Builds(doer, self._times)
        self._search = Search(
            self._builds, elsewhere, updated=doer.updated, ended=doer.ended, again=self._to_resolve.set
        )
        self._stalls = StallWatch(self._builds.long_waits, self._times, on_stalls)
        self._missing_function = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None
        self._connection_tasks: list[asyncio.Task[None]] = []
        self._task: asyncio.Task[None] | None = None

    # For the daemon

    async def start(self) -> None:
        """Begin; does not wait for the server."""
        await asyncio.to_thread(self._functions.load)
        self._change("connecting")
        ready = asyncio.Event()
        self._task = asyncio.create_task(self._run(ready), name="gearman launcher")
        await ready.wait()
        await self._client.start()

    async def stop(self) -> None:
        """End every thread and task; builds that are under way go on without us."""
        self._connection = None  # its end is no news now
        await self._client.stop()
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._builds.close()

    def launch(self, request: BuildRequest, begun: Begun | None = None, *, again: bool = False) -> None:
        """Hand a build to the workers as soon as that is possible. A uuid that is under way is not sent twice.

        ``begun``: it was launched before, by a process before this one, and a worker had begun it. ``again``: it may
        have been launched by such a process.
        """
        if request.uuid in self._search.followed:
            return
        self._builds.add(request, begun, doubtful=again and self._search.may_know(request.job))
        if not self._knows(request.function):
            self._missing_function.set()

    def cancel(self, uuid: str) -> None:
        """Take a build out of the queue, or have it stopped. Unknown and ended ones: nothing happens."""
        if not self._search.cancel(uuid):
            self._builds.cancel(uuid)

    def describe(self, builds: Sequence[NumberedBuild], html: str) -> None:
        """Have managers show this beside their builds, those that offer to (gearman-jenkins.md 5)."""
        if not self._builds.describe(builds, html, self._functions.knows):
            self._missing_function.set()  # the list may be a minute old

    @property
    def stalls(self) -> tuple[Stall, ...]:
        """Builds that wait though workers are idle."""
        return self._stalls.stalls

    def go_on(self) -> None:
        """Builds that waited for leave to be sent have it now."""
        self._to_send.set()

    @property
    def state(self) -> LauncherState:
        return LauncherState(
            server=str(self._server),
            connected=self._connection is not None,
            since=self._since,
            detail=self._detail,
            counts=self._builds.counts(len(self._search.followed)),
        )

    # The connection

    def _events(self) -> ClientEvents:
        return ClientEvents(
            connected=self._connected,
            lost=self._lost,
            unreachable=self._unreachable,
            created=self._created,
            said=self._said,
            answered=self._answered,
        )

    def _connected(self, connection: int, server: Address) -> None:
        self._connection = connection
        self._server = server
        self._troubles.clear()
        self._asked_at = None
        self._functions.connected(_now())
        self._change("connected")
        log.info("connected to the job server", server=str(self._server))
        if self._group:
            self._serve_connection(self._group)
        self._to_send.set()

    def _serve_connection(self, group: asyncio.TaskGroup) -> None:
        self._connection_tasks = [
            group.create_task(self._meet_server()),
            group.create_task(self._stalls.watch(self._server)),
            group.create_task(self._follow_functions()),
        ]

    def _lost(self, connection: int, reason: str) -> None:
        if connection != self._connection:
            return
        self._connection = None
        for task in self._connection_tasks:
            task.cancel()
        self._builds.connection_lost()
        self._stalls.clear()
        self._change("the connection was lost" + (f": {reason}" if reason else ""))
        log.warning("lost the connection to the job server", server=str(self._server), reason=reason or None)

    def _unreachable(self, server: Address, reason: str) -> None:
        if reason == self._troubles.get(server):
            return
        self._troubles[server] = reason
        self._change("cannot connect: " + "; ".join(f"{each}: {why}" for each, why in self._troubles.items()))
        log.warning("cannot connect to the job server, trying on", server=str(server), reason=reason)

    def _created(self, connection: int, unique: str, handle: bytes) -> None:
        if connection == self._connection:
            self._builds.created(unique, handle)

    def _said(self, unique: str, what: Said, body: bytes) -> None:
        self._asked_at = None
        self._builds.said(unique, what, body)

    def _answered(self, handle: bytes, known: bool) -> None:
        self._asked_at = None
        self._builds.answered(handle, known)

    def _change(self, detail: str) -> None:
        self._detail = detail
        self._since = time.time()

    # What the books want done

    def _doer(self) -> Doer:
        soon = asyncio.get_running_loop().call_soon
        return Doer(
            wake_sender=self._to_send.set,
            wake_resolver=self._to_resolve.set,
            withdraw=self._start_to_withdraw,
            forget=self._client.forget,
            updated=lambda update: soon(self._on_update, update),
            ended=lambda end: soon(self._on_end, end),
        )

    def _start_to_withdraw(self, unique: str, handle: bytes) -> None:
        if self._group and self._connection is not None:
            self._group.create_task(self._withdraw(self._connection, unique, handle))

    async def _withdraw(self, connection: int, unique: str, handle: bytes) -> None:
        try:
            self._builds.withdrawn(unique, await self._client.cancel(connection, handle))
        except NotSentError as error:
            log.info("the job server did not answer a cancel", uuid=unique, reason=str(error))

    def _knows(self, function: str) -> bool:
        return not self._check_registration or self._functions.knows(function)

    # Tasks

    async def _run(self, ready: asyncio.Event) -> None:
        """Until it is cancelled: a fault of our own may cost a moment, never the launching of builds."""
        while True:
            try:
                async with asyncio.TaskGroup() as self._group:
                    self._group.create_task(self._send_all())
                    self._group.create_task(self._watch_silence())
                    if self._connection is not None:
                        self._serve_connection(self._group)
                    self._to_send.set()
                    ready.set()
            except* Exception:
                log.exception("the launcher failed and begins again")
            finally:
                self._group = None
                self._search.under_way.clear()
            await asyncio.sleep(self._times.retry)

    async def _send_all(self) -> None:
        while True:
            await self._to_send.wait()
            self._to_send.clear()
            while (batch := self._next_batch()) and await self._send(batch):
                pass

    def _next_batch(self) -> list[Submission]:
        if self._connection is None or not self._may_send():
            return []
        ready = (each for each in self._builds.outgoing if self._builds.may_go(each, self._knows))
        taken = [self._builds.take(unique) for unique in list(islice(ready, BATCH))]
        return [each for each in taken if each is not None]

    async def _send(self, batch: list[Submission]) -> bool:
        """False if some were not sent: then trying again at once is no use."""
        try:
            outcomes = await self._client.submit(batch)
        except NotSentError:
            for submission in batch:
                self._builds.put_back(submission)
            return False  # the next connection wakes the sender
        for submission, outcome in zip(batch, outcomes, strict=True):
            match outcome:
                case RefusedError():
                    self._builds.refused(submission, str(outcome))
                case NotSentError():
                    log.info("job not sent", function=submission.function, uuid=submission.unique, reason=str(outcome))
                    self._builds.not_sent(submission)
                    asyncio.get_running_loop().call_later(self._times.retry, self._to_send.set)
        return not any(isinstance(each, NotSentError) for each in outcomes)

    async def _watch_silence(self) -> None:
        """Find builds that the server has forgotten, and a server that does not answer any more."""
        while True:
            await asyncio.sleep(self._times.doubt)
            handles = self._builds.silent()
            try:
                if handles:
                    await self._client.ask_status(handles)
                    self._asked_at = self._asked_at or _now()
                if self._asked_at and _now() - self._asked_at > self._times.answer_limit:
                    log.warning("the job server does not answer", server=str(self._server))
                    await self._client.drop()
            except NotSentError:
                continue  # the connection is being made again

    async def _meet_server(self) -> None:
        """Once a connection: find out who it is, and ask it about the builds of the connection before."""
        kind = await self._identify()
        if kind is ServerKind.OURS:
            self._functions.server_is_ours()
            self._to_send.set()
        elif kind is ServerKind.GEARMAND:
            await self._client.request_exceptions()
        while True:
            if self._builds.unsure:
                await self._resolve(kind)
            await self._to_resolve.wait()
            self._to_resolve.clear()

    async def _identify(self) -> ServerKind:
        while True:
            try:
                kind, version = await inquiry.identify(self._server, silence_s=self._times.identify)
            except InquiryError as error:
                log.info("cannot find out which job server it is", reason=str(error))
                await asyncio.sleep(self._times.retry)
            else:
                self._detail = f"connected to {kind.value} {version}".rstrip()
                return kind

    async def _resolve(self, kind: ServerKind) -> None:
        asked = tuple(self._builds.unsure - self._search.under_way)
        connection = self._connection
        answers: dict[str, Standing] = {}
        if kind is not ServerKind.GEAR:
            try:
                answers = await inquiry.standings(self._server, asked)
            except InquiryError as error:
                log.info("cannot ask for builds", reason=str(error))
                await asyncio.sleep(self._times.retry)
                self._to_resolve.set()
                return
        for unique in asked:
            standing = answers.get(unique, Standing.UNKNOWN)
            search = self._search.of(unique, standing, kind, lambda: self._connection == connection)
            if search is None:
                self._builds.resolve(unique, standing, kind)
            elif self._group:
                self._group.create_task(search)

    async def _follow_functions(self) -> None:
        """Once a connection: hold builds of unknown functions till the list has settled, then end them (4.2)."""
        read_at = await self._read_functions()
        while not self._functions.settled(_now()):
            await asyncio.sleep(self._times.list_stable / 5)
            read_at = await self._read_functions()
        while True:
            self._builds.end_unregistered(self._knows)
            self._builds.describe_late(self._functions.knows)
            self._missing_function.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._times.list_reread):
                    await self._missing_function.wait()
            # A build is never judged by a list from before its launch: its worker may have come since.
            await asyncio.sleep(max(0.0, read_at + self._times.list_age - _now()))
            read_at = await self._read_functions()

    async def _read_functions(self) -> float:
        """Read the server's list, whatever it takes; when that was."""
        while True:
            try:
                names = await inquiry.registered_functions(self._server)
            except InquiryError as error:
                log.info("cannot read the list of functions", reason=str(error))
                await asyncio.sleep(self._times.retry)
            else:
                self._functions.listed(names, _now())
                self._to_send.set()
                await asyncio.to_thread(self._functions.save)
                return _now()


def _now() -> float:
    return asyncio.get_running_loop().time()
