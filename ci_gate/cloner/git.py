"""The git command, as the cloner calls it: with a deadline, typed errors, and nobody to ask for passwords.

Threads share one ``Git``, so that whoever ends the work can end all that runs. The user's own git configuration has
its say, for credentials and proxies are there.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

from ci_gate.cloner.errors import ClonerError

DEADLINE_S = 3600.0
SILENCE_S = 300
WAITS_S = (1.0, 3.0)
"""Before what may have been a passing trouble is tried again."""

_POINTERS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE", "GIT_PREFIX")
_FIXED = {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}  # messages are recognised by their English text
_CONFIG = {
    "gc.autoDetach": "false",  # nothing goes on in a repository after its command has ended
    "maintenance.autoDetach": "false",
    "submodule.recurse": "false",
    "http.lowSpeedLimit": "1",
    "http.lowSpeedTime": str(SILENCE_S),
}
_OPTIONS = [part for key, value in _CONFIG.items() for part in ("-c", f"{key}={value}")]
_PASSWORD = re.compile(r"(://[^/@\s:]+):[^/@\s]+@")
_NO_REF = "couldn't find remote ref"
_NO_REPOSITORY = re.compile(
    r"^fatal: repository '.*' (not found|does not exist)$"  # over HTTP: 404; paths
    r"|does not appear to be a git repository"  # files, SSH
    r"|access denied or repository not exported",  # git daemon
    re.MULTILINE,
)


class GitError(ClonerError):
    """A git command failed; ``reason`` is what it said, on one line, without passwords."""

    def __init__(self, arguments: tuple[str, ...], reason: str) -> None:
        self.reason = without_password(reason)
        super().__init__(f"git {arguments[0]} failed: {self.reason}")


class MissingRefError(GitError):
    """The repository was reached; it has no such ref."""


class MissingRepositoryError(GitError):
    """The server was reached; it has no such repository."""


class EndedError(ClonerError):
    """Another project has failed, or the cloner was told to end."""


def without_password(text: str) -> str:
    return _PASSWORD.sub(r"\1:***@", text)


class Git:
    """Runs git. ``end`` stops everything that runs, and nothing can be started any more."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        self._ended = threading.Event()

    def end(self) -> None:
        with self._lock:
            self._ended.set()
            for process in self._running:
                _kill(process)

    def run(self, log: logging.Logger, *arguments: str, folder: Path | None = None) -> str:
        """What the command printed. ``folder``: the working copy. Raises GitError."""
        where = [] if folder is None else ["--git-dir", str(folder / ".git"), "--work-tree", str(folder)]
        begun = time.monotonic()
        code, stdout, stderr = self._call([*_OPTIONS, *where, *arguments], folder)
        log.debug("git %s: %.2f s", without_password(" ".join(arguments)), time.monotonic() - begun)
        for line in stderr.splitlines():
            log.debug("git said: %s", without_password(line))
        if code != 0:
            raise _fault(arguments, stderr or f"exit {code}")
        return stdout.strip()

    def reach(self, log: logging.Logger, *arguments: str, folder: Path | None = None) -> str:
        """The same for commands that talk to a server: tried again unless the server said that it has not got it."""
        for wait_s in WAITS_S:
            try:
                return self.run(log, *arguments, folder=folder)
            except (MissingRefError, MissingRepositoryError, EndedError):
                raise
            except GitError as problem:
                log.warning("%s; trying again in %g s", problem, wait_s)
                self._ended.wait(wait_s)
        return self.run(log, *arguments, folder=folder)

    def _call(self, arguments: list[str], folder: Path | None) -> tuple[int, str, str]:
        with self._lock:
            if self._ended.is_set():
                raise EndedError("ended before it was done")
            process = subprocess.Popen(
                ["git", *arguments],
                cwd=folder,
                env={name: value for name, value in os.environ.items() if name not in _POINTERS} | _FIXED,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="backslashreplace",
                start_new_session=True,  # without a terminal, ssh cannot ask; and all of it can be ended at once
            )
            self._running.add(process)
        try:
            stdout, stderr = process.communicate(timeout=DEADLINE_S)
        except subprocess.TimeoutExpired:
            _kill(process)
            stdout, stderr = process.communicate()
            stderr += f"no end within {DEADLINE_S:g} s"
        finally:
            with self._lock:
                self._running.discard(process)
        if self._ended.is_set() and process.returncode != 0:
            raise EndedError("ended before it was done")
        return process.returncode, stdout, stderr


def _kill(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _fault(arguments: tuple[str, ...], stderr: str) -> GitError:
    lines = (line.strip() for line in stderr.splitlines())
    reason = "; ".join(line for line in lines if line and not line.startswith(("hint:", "warning:"))) or stderr.strip()
    if _NO_REF in stderr:
        return MissingRefError(arguments, reason)
    if _NO_REPOSITORY.search(stderr):
        return MissingRepositoryError(arguments, reason)
    return GitError(arguments, reason)
