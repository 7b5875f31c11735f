"""The git command as one small immutable value: where it runs, with which variables, and for how long.

Everything in ``merger/`` and the git pages of ``web/`` start git through this module. It knows processes, not
repositories: what a command means is its caller's business.

Every process runs in a group of its own, which is killed as a whole when its deadline passes or its caller is
cancelled: a fetch leaves no ssh behind. Neither the system's nor the user's git configuration has a say. ``run`` and
``process`` are for the loop's thread, ``call`` and ``start`` for worker threads.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

LOCAL_DEADLINE_S = 120.0

_STREAM_LIMIT = 256 * 1024
_KEPT_OF_STDERR = 4000
_INHERITED = (
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "SSH_AUTH_SOCK",
    *(name for each in ("http_proxy", "https_proxy", "all_proxy", "no_proxy") for name in (each, each.upper())),
)
_FIXED = {
    "LC_ALL": "C",  # messages are recognised by their English text
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh",
}
_CONFIG = {
    "core.hooksPath": os.devnull,
    "core.attributesFile": os.devnull,
    "core.fsmonitor": "false",
    "credential.helper": "",
    "gc.auto": "0",  # it would go on in the background, beyond deadline and lock
    "maintenance.auto": "false",
    "safe.directory": "*",  # repositories may be another user's: the merger that was here before
}
_PASSWORD = re.compile(r"(://[^/@\s:]+):[^/@\s]+@")


class GitError(Exception):
    """A git command failed. ``code`` is its exit status, None if it was killed; ``stderr`` ends what it said."""

    def __init__(self, arguments: tuple[str, ...], code: int | None, stderr: str) -> None:
        self.arguments = arguments
        self.code = code
        self.stderr = _PASSWORD.sub(r"\1:***@", stderr)
        super().__init__(f"git {arguments[0]} failed: {self.reason}")

    @property
    def reason(self) -> str:
        """What git said, on one line."""
        lines = (each.strip() for each in self.stderr.splitlines())
        return "; ".join(each for each in lines if each and not each.startswith("hint:")) or f"exit {self.code}"


class GitDeadlineError(GitError):
    """A git command did not end in time and was killed."""

    def __init__(self, arguments: tuple[str, ...], deadline_s: float) -> None:
        super().__init__(arguments, None, f"no end within {deadline_s:g} s")


@dataclass(frozen=True, slots=True)
class Completed:
    code: int
    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        """The output without its line end, for commands that print a name or an object id."""
        return self.stdout.decode(errors="backslashreplace").strip()


@dataclass(frozen=True, slots=True)
class Git:
    """How to call git: ``directory`` is the repository (``GIT_DIR``), None for commands that make one.

    ``environment`` comes on top of the fixed variables, ``config`` on top of the fixed settings; ``folder`` is the
    current directory, by default the repository.
    """

    directory: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None
    config: Mapping[str, str] = field(default_factory=dict)

    def having(self, **variables: str) -> Git:
        """The same with more variables."""
        return replace(self, environment={**self.environment, **variables})

    def set_to(self, key: str, value: str) -> Git:
        """The same with another setting of git's configuration."""
        return replace(self, config={**self.config, key: value})

    def within(self, folder: Path) -> Git:
        """The same in another current directory."""
        return replace(self, folder=folder)

    async def run(
        self,
        *arguments: str,
        stdin: bytes | None = None,
        deadline_s: float = LOCAL_DEADLINE_S,
        accept: Collection[int] = (0,),
    ) -> Completed:
        """Run to the end. Raises GitError if the exit status is not accepted, GitDeadlineError if time is up."""
        try:
            async with asyncio.timeout(deadline_s), self.process(*arguments, reads=stdin is not None) as process:
                stdout, stderr = await process.communicate(stdin)
                code = await process.wait()
        except TimeoutError:
            raise GitDeadlineError(arguments, deadline_s) from None
        return _completed(arguments, code, stdout, stderr, accept)

    def call(self, *arguments: str, stdin: bytes = b"", accept: Collection[int] = (0,)) -> Completed:
        """As ``run``, for a worker thread, and for commands without children of their own."""
        try:
            done = subprocess.run(
                ["git", *arguments],
                input=stdin,
                capture_output=True,
                cwd=self.folder or self.directory,
                env=self._variables(),
                timeout=LOCAL_DEADLINE_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise GitDeadlineError(arguments, LOCAL_DEADLINE_S) from None
        return _completed(arguments, done.returncode, done.stdout, done.stderr, accept)

    def start(self, *arguments: str, stderr: IO[bytes]) -> subprocess.Popen[bytes]:
        """A git that goes on, with pipes without buffers, for a worker thread."""
        return subprocess.Popen(
            ["git", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            cwd=self.folder or self.directory,
            env=self._variables(),
            bufsize=0,
            start_new_session=True,
        )

    @asynccontextmanager
    async def process(self, *arguments: str, reads: bool = True) -> AsyncIterator[Process]:
        """A running git with pipes; it and all its children are gone when the block ends."""
        process = await asyncio.create_subprocess_exec(
            "git",
            *arguments,
            stdin=PIPE if reads else DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            cwd=self.folder or self.directory,
            env=self._variables(),
            start_new_session=True,
            limit=_STREAM_LIMIT,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.communicate()  # reaps it, and empties the pipes so that they close

    def _variables(self) -> dict[str, str]:
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        settings = {**_CONFIG, **self.config}
        config = {"GIT_CONFIG_COUNT": str(len(settings))}
        for number, (key, value) in enumerate(settings.items()):
            config |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
        where = {"GIT_DIR": os.fspath(self.directory)} if self.directory is not None else {}
        return {**inherited, **_FIXED, **config, **where, **self.environment}


def _completed(
    arguments: tuple[str, ...], code: int, stdout: bytes, stderr: bytes, accept: Collection[int]
) -> Completed:
    said = stderr.decode(errors="replace")[-_KEPT_OF_STDERR:]
    if code not in accept:
        raise GitError(arguments, code, said)
    return Completed(code, stdout, said)
