"""Does the service still do its work? What systemd's watchdog is told depends on it."""

from __future__ import annotations

import structlog

from ci_gate.daemon.inbox import Inbox
from ci_gate.daemon.recorder import Recorder

log = structlog.stdlib.get_logger("zuul.Watchdog")


class Progress:
    """Compares with the look before: inputs that could be taken have to be, steps that are decided have to be kept.

    A journal that cannot be written is no standstill: the service waits for it, and says so; another process could
    do no more.
    """

    def __init__(self, inbox: Inbox, recorder: Recorder) -> None:
        self._inbox = inbox
        self._recorder = recorder
        self._before: tuple[bool, int, bool, int] | None = None

    def is_stuck(self) -> bool:
        recorder = self._recorder
        now = (self._inbox.has_more, recorder.seq, recorder.seq > recorder.released, recorder.released)
        before, self._before = self._before, now
        if before is None or recorder.problem is not None:
            return False
        undecided = before[0] and now[0] and before[1] == now[1]
        unwritten = before[2] and now[2] and before[3] == now[3]
        if undecided or unwritten:
            log.error("no progress", step=recorder.seq, kept_up_to=recorder.released)
        return undecided or unwritten
