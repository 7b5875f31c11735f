"""A git process that answers many questions: what makes a merge cost no process at all.

Started with the first question, and again after it ended. Belongs to one repository and is used by one worker thread
at a time; knows bytes and separators, nothing of what they mean.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from ci_gate.merger.git import Git, GitError

_READ = 64 * 1024
_END_S = 5.0
_KEPT_OF_STDERR = 4000


class SessionEndedError(GitError):
    """The process ended before it had answered: killed, or at the end of its wits, which ``stderr`` tells."""


@dataclass(frozen=True, slots=True)
class _Running:
    process: subprocess.Popen[bytes]
    questions: IO[bytes]
    answers: IO[bytes]
    said: IO[bytes]


class Session:
    """``git ARGUMENTS``, kept running. ``kill`` may be called from any thread."""

    def __init__(self, git: Git, *arguments: str) -> None:
        self._git = git
        self._arguments = arguments
        self._running: _Running | None = None
        self._unread = bytearray()

    @property
    def pid(self) -> int | None:
        """None while no process runs."""
        running = self._running
        return running.process.pid if running and running.process.poll() is None else None

    def send(self, question: bytes) -> None:
        """Raises SessionEndedError if it ends while it reads."""
        running = self._running
        if running is None or running.process.poll() is not None:
            running = self._start()
        rest = memoryview(question)
        try:
            while rest:
                rest = rest[running.questions.write(rest) :]
        except OSError:
            raise self._ended() from None

    def until(self, separator: bytes) -> bytes:
        """What comes before the next separator. Raises SessionEndedError."""
        looked_at = 0
        while (end := self._unread.find(separator, looked_at)) < 0:
            looked_at = len(self._unread)
            self._read_more()
        found = bytes(self._unread[:end])
        del self._unread[: end + len(separator)]
        return found

    def exactly(self, size: int) -> bytes:
        """The next ``size`` bytes. Raises SessionEndedError."""
        while len(self._unread) < size:
            self._read_more()
        found = bytes(self._unread[:size])
        del self._unread[:size]
        return found

    def kill(self) -> None:
        """Whoever waits for an answer gets SessionEndedError."""
        pid = self.pid
        if pid is not None:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)

    def close(self) -> None:
        """End the process; the next question starts another."""
        running, self._running = self._running, None
        self._unread.clear()
        if running is None:
            return
        for pipe in (running.questions, running.answers, running.said):
            pipe.close()
        try:
            running.process.wait(_END_S)
        except subprocess.TimeoutExpired:
            running.process.kill()
            running.process.wait()

    def _start(self) -> _Running:
        self.close()
        said = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        process = self._git.start(*self._arguments, stderr=said)
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("git was started without pipes")
        self._running = _Running(process, process.stdin, process.stdout, said)
        return self._running

    def _read_more(self) -> None:
        more = self._running.answers.read(_READ) if self._running else b""
        if not more:
            raise self._ended()
        self._unread += more

    def _ended(self) -> SessionEndedError:
        code, said = None, ""
        if self._running is not None:
            code = self._running.process.wait()
            self._running.said.seek(0)
            said = self._running.said.read().decode(errors="replace")[-_KEPT_OF_STDERR:]
        self.close()
        return SessionEndedError(self._arguments, code, said or "the process was ended")
