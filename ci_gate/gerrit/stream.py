"""The event stream: ``gerrit stream-events`` kept open for ever, its lines made into events (gerrit-wire.md 2, 3).

A thread reads and does nothing else, so that Gerrit never has to throw events away; the loop's thread makes events of
the lines and hands them on in order.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import paramiko
import structlog

from ci_gate.config.settings import GerritSettings
from ci_gate.gerrit.arrivals import Arrivals
from ci_gate.gerrit.attempts import ACCOUNT_PAUSE_S
from ci_gate.gerrit.connection import (
    AccountRefusedError,
    ConnectionFailedError,
    HostKeyRefusedError,
    connect,
    failure_text,
)
from ci_gate.gerrit.events import BadLineError
from ci_gate.gerrit.lines import LineReader
from ci_gate.handover import Handover
from ci_gate.model.event import Event

COMMAND = "gerrit stream-events"
PROBE = "gerrit version"
CHUNK = 256 * 1024
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
HEALTHY_S = 60.0
PROBE_ANSWER_S = 20.0

log = structlog.stdlib.get_logger("zuul.GerritConnection")


@dataclass(frozen=True, slots=True)
class StreamState:
    """Times are seconds since the epoch; ``detail`` is the last failure, or empty.

    ``complete_since``: no event was missed after that, while it is connected; None: some may be missed at any time.
    """

    connected: bool
    since: float
    complete_since: float | None
    detail: str = ""
    last_event_at: float | None = None
    events: int = 0
    broken_lines: int = 0
    unknown_types: int = 0
    reconnects: int = 0


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a session ended.

    ``by_account``: Gerrit does not want this account, so that trying soon is no use. ``for_operator``: it does not
    pass by itself.
    """

    reason: str
    by_account: bool = False
    for_operator: bool = False


class Backoff:
    """How long to wait before the next try: 1, 2, 4 … 60 s, and from the beginning after a minute of health."""

    def __init__(self, jitter: Callable[[], float] = lambda: random.uniform(0.8, 1.2)) -> None:  # noqa: S311  # no secret
        self._jitter = jitter
        self._next = FIRST_PAUSE_S

    def pause_s(self, healthy_s: float) -> float:
        """After a session that was open for so long; never less than a second."""
        if healthy_s >= HEALTHY_S:
            self._next = FIRST_PAUSE_S
        pause = self._next
        self._next = min(pause * 2, LONGEST_PAUSE_S)
        return max(FIRST_PAUSE_S, pause * self._jitter())


class EventStream:
    """``on_event`` is called on the loop's thread, in the order of the stream.

    ``on_gap`` tells that events may have been missed: the stream is open again, or Gerrit has dropped some.
    ``on_alert`` gets a text when an operator has to do something.
    """

    def __init__(
        self,
        settings: GerritSettings,
        on_event: Callable[[Event], None],
        on_gap: Callable[[], None] = lambda: None,
        on_alert: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._arrivals = Arrivals(settings, on_event, self._dropped)
        self._on_gap = on_gap
        self._on_alert = on_alert
        self._session: _Session | None = None
        self._alerted = ""
        self._opened_at = 0.0
        self._connected = False
        self._since = self._complete_since = time.time()
        self._detail = "not connected yet"
        self._reconnects = 0

    @property
    def state(self) -> StreamState:
        return StreamState(
            connected=self._connected,
            since=self._since,
            complete_since=self._complete_since,
            detail=self._detail,
            last_event_at=self._arrivals.last_event_at,
            events=self._arrivals.events,
            broken_lines=self._arrivals.broken_lines,
            unknown_types=sum(self._arrivals.unknown.values()),
            reconnects=self._reconnects,
        )

    async def run(self) -> None:
        """Keep the stream open until cancelled; a lost one is opened again, with growing pauses."""
        backoff = Backoff()
        while True:
            ending = await self._one_session()
            pause = backoff.pause_s(time.monotonic() - self._opened_at if self._connected else 0.0)
            self._mark(connected=False, detail=ending.reason)
            if ending.by_account:
                pause = ACCOUNT_PAUSE_S
            self._tell_ending(ending, pause)
            await asyncio.sleep(pause)
            self._reconnects += 1

    def _tell_ending(self, ending: Ending, pause_s: float) -> None:
        tell = log.error if ending.for_operator else log.warning
        next_try_in_s = round(pause_s, 1)
        tell("no event stream", connection=self._settings.name, reason=ending.reason, next_try_in_s=next_try_in_s)
        if ending.for_operator and ending.reason != self._alerted:
            self._alerted = ending.reason
            self._on_alert(f"no event stream: {ending.reason}")

    def replace(self, reason: str) -> None:
        """Open it again: this one does not do what it should."""
        if self._session is not None:
            self._session.end(Ending(reason))

    async def _one_session(self) -> Ending:
        """Connect and read until it ends; why it ended."""
        self._session = session = _Session(self._settings, asyncio.get_running_loop(), self)
        thread = threading.Thread(target=session.run, name=f"stream {self._settings.name}", daemon=True)
        thread.start()
        try:
            return await session.ended
        finally:
            session.close()
            await asyncio.to_thread(thread.join, 5.0)

    # --- what the session tells, on the loop's thread ---

    def opened(self) -> None:
        self._mark(connected=True, detail="")
        self._opened_at, self._alerted = time.monotonic(), ""
        log.info("event stream open", connection=self._settings.name, server=self._settings.server)
        self._on_gap()

    def take_lines(self, lines: list[str]) -> None:
        for line in lines:
            with suppress(BadLineError):  # counted and told of
                self._arrivals.take_line(line)

    def lost_line(self, count: int) -> None:
        self._arrivals.lost_line("long line", "a line of the event stream is too long", "dropped", count)

    def _dropped(self) -> None:
        self._complete_since = time.time()
        self._on_gap()

    def _mark(self, *, connected: bool, detail: str) -> None:
        if connected != self._connected:
            self._since = self._complete_since = time.time()
        self._connected, self._detail = connected, detail


class _Session:
    """One connection and its reader thread. ``ended`` tells why it ended."""

    def __init__(self, settings: GerritSettings, loop: asyncio.AbstractEventLoop, stream: EventStream) -> None:
        self._settings = settings
        self._handover = Handover(loop)
        self._stream = stream
        self._transport: paramiko.Transport | None = None
        self._closed = threading.Event()
        self.ended: asyncio.Future[Ending] = loop.create_future()

    def run(self) -> None:
        """In the thread, until the stream ends or ``close`` is called."""
        try:
            ending = self._read()
        except AccountRefusedError as problem:
            ending = Ending(str(problem), by_account=True, for_operator=True)
        except HostKeyRefusedError as problem:
            ending = Ending(str(problem), for_operator=True)
        except ConnectionFailedError as problem:
            ending = Ending(str(problem))
        except (paramiko.SSHException, OSError, EOFError) as problem:
            ending = Ending(f"the connection broke: {failure_text(problem)}")
        finally:
            self._close_transport()
        self._tell(self.end, ending)

    def close(self) -> None:
        """From the loop's thread: cut the connection, which ends the reader."""
        self._closed.set()
        self._close_transport()

    def _read(self) -> Ending:
        self._transport = transport = connect(self._settings)
        if self._closed.is_set():
            return Ending("stopped")
        channel = transport.open_session(timeout=PROBE_ANSWER_S)
        if not _begun(channel, COMMAND, PROBE_ANSWER_S):
            return Ending(f"Gerrit did not answer {COMMAND} within {PROBE_ANSWER_S:g} s")
        self._tell(self._stream.opened)
        reader = LineReader()
        silence_s = self._settings.stream_timeout_s
        channel.settimeout(max(silence_s - PROBE_ANSWER_S, silence_s / 2))
        while True:
            try:
                data = channel.recv(CHUNK)
            except TimeoutError:
                if not self._proves_alive(transport):
                    return Ending(f"nothing came for {silence_s:g} s, and Gerrit does not answer")
                continue
            if not data:
                return self._why_ended(channel)
            lines, lost = reader.feed(data), reader.too_long
            if lost:
                reader.too_long = 0
                self._tell(self._stream.lost_line, lost)
            if lines:
                self._tell(self._stream.take_lines, lines)

    def _proves_alive(self, transport: paramiko.Transport) -> bool:
        """A quiet Gerrit is normal; one that answers no command is gone, whatever its machine still acknowledges."""
        within_s = min(PROBE_ANSWER_S, self._settings.stream_timeout_s / 2)
        try:
            channel = transport.open_session(timeout=within_s)
        except paramiko.ChannelException:  # a refusal is an answer
            return True
        except (paramiko.SSHException, OSError, EOFError):
            return False
        try:
            begun = _begun(channel, PROBE, within_s)
            return begun and channel.status_event.wait(within_s) and transport.is_active()
        except (paramiko.SSHException, OSError, EOFError):
            return transport.is_active()  # it did not carry the command out, which is an answer too
        finally:
            with suppress(paramiko.SSHException, OSError, EOFError):
                channel.close()

    def _why_ended(self, channel: paramiko.Channel) -> Ending:
        channel.settimeout(1.0)
        try:
            said = channel.recv_stderr(4096).decode(errors="replace").strip()
        except TimeoutError:
            said = ""
        refused = any(each in said.lower() for each in ("not permitted", "inactive", "permission denied"))
        return Ending(said or "Gerrit ended the stream", by_account=refused, for_operator=refused)

    def _close_transport(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def end(self, ending: Ending) -> None:
        """On the loop's thread. Only the first one counts."""
        if not self.ended.done():
            self.ended.set_result(ending)

    def _tell(self, call: Callable[..., None], *arguments: object) -> None:
        self._handover.post(call, *arguments)


def _begun(channel: paramiko.Channel, command: str, within_s: float) -> bool:
    """Did the server begin a command in time? If not, the connection is closed: paramiko would wait for ever."""
    is_late = threading.Event()

    def give_up() -> None:
        is_late.set()
        channel.get_transport().close()

    alarm = threading.Timer(within_s, give_up)
    alarm.daemon = True
    alarm.start()
    try:
        channel.exec_command(command)
    except (paramiko.SSHException, OSError, EOFError):
        if not is_late.is_set():
            raise
    finally:
        alarm.cancel()
    return not is_late.is_set()
