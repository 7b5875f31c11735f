"""Checks of one Gerrit over SSH: key, host key, account and stream (gerrit-wire.md 1, 2, 9).

Logs in twice: once to look, once by the pool that the service itself works with. Host keys that are new are looked at
and not recorded: that is the service's to do, as its user.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace

import paramiko

from ci_gate.config.settings import SSH, GerritSettings
from ci_gate.doctor.check import Finding, Step, UnansweredError, good, wrong
from ci_gate.doctor.gerrit import ANSWER_S, Gerrit
from ci_gate.doctor.running import Once
from ci_gate.doctor.site import Site
from ci_gate.gerrit.commands import CommandPool, CommandResult, NotSentError, OutcomeUnknownError
from ci_gate.gerrit.connection import (
    AccountRefusedError,
    ConnectionFailedError,
    check_key,
    connect,
    failure_text,
    load_key,
)
from ci_gate.gerrit.hostkeys import HostKeyError
from ci_gate.merger.git import Git
from ci_gate.merger.ssh import ssh_variables

STREAM_S = 1.5  # in which a Gerrit refuses a stream, if it does
CANNOT_REACH = "cannot reach Gerrit"  # before any SSH


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """``new_key`` is the host key's fingerprint if it was not known."""

    transport: paramiko.Transport
    new_key: str


class SshGerrit(Gerrit):
    """``close`` it in the end."""

    def __init__(self, site: Site, settings: GerritSettings) -> None:
        super().__init__(site, settings)
        # Keys are accepted into a copy.
        self._accepted = self.scratch / "known_hosts"
        self.settings = replace(settings, accepted_hosts=self._accepted)
        self.logged_in = Once(self._log_in)
        self._pool: CommandPool | None = None
        self._transport: paramiko.Transport | None = None

    @property
    def address(self) -> str:
        return f"{self.given.server}:{self.given.port}"

    def steps(self) -> Iterator[Step]:
        yield Step(self.group, "key", lambda: asyncio.to_thread(self._key))
        yield Step(self.group, "reachable", self._reachable)
        yield Step(self.group, "host key", self._host_key, ("key", "reachable"))
        yield Step(self.group, "account", self._account, ("host key",))
        if self.given.stream == SSH:
            yield Step(self.group, "event stream", self._stream, ("account",))
        yield from super().steps()

    async def run(self, command: str) -> str:
        """What a command prints. Raises UnansweredError."""
        result = await self.result_of(command)
        if result.exit_status != 0:
            raise UnansweredError(result.stderr.strip() or f"exit status {result.exit_status}")
        return result.stdout

    async def result_of(self, command: str) -> CommandResult:
        """Raises UnansweredError."""
        if self._pool is None:
            self._pool = CommandPool(self.settings)
        try:
            return await self._pool.run(command, deadline_s=ANSWER_S, repeatable=False)
        except (NotSentError, OutcomeUnknownError) as problem:
            raise UnansweredError(self._as_configured(str(problem))) from problem

    async def close(self) -> None:
        if self._transport is not None:
            await asyncio.to_thread(self._transport.close)
        if self._pool is not None:
            await self._pool.close()
        await super().close()

    # --- getting in ---

    def _key(self) -> Finding:
        path = self.given.sshkey
        if path is None:
            return good("no sshkey is set: those of the SSH agent and of ~/.ssh are tried")
        problem = check_key(self.given)
        if problem is not None:
            what, _, advice = problem.partition("; ")
            return wrong(what, advice.removeprefix("try: ") or "set sshkey to the private key of the account")
        key = load_key(path)
        return good(f"{path} ({key.get_name()} {key.fingerprint})")

    async def _reachable(self) -> Finding:
        try:
            async with asyncio.timeout(ANSWER_S):
                await self.logged_in()
        except TimeoutError:
            return wrong(f"{self.address} does not answer within {ANSWER_S:g} s", self._way)
        except ConnectionFailedError as problem:
            cause = problem.__cause__
            if isinstance(cause, socket.gaierror):
                return wrong(f"{problem}", f"correct [{self.section}] server: no such name is known")
            if isinstance(cause, OSError) and str(problem).startswith(CANNOT_REACH):
                return wrong(f"{problem}", self._way)
        return good(self.address)

    async def _log_in(self) -> LoggedIn:
        """Raises ConnectionFailedError."""

        def log_in() -> LoggedIn:
            kept = self.given.accepted_hosts
            try:
                if kept is not None and kept.exists():
                    shutil.copyfile(kept, self._accepted)
            except OSError as problem:
                raise ConnectionFailedError(
                    f"{kept} cannot be read: {problem.strerror}; it has to be the service's user's, who runs this"
                ) from problem
            before = self._accepted.stat().st_size if self._accepted.exists() else 0
            self._transport = transport = connect(self.settings)
            key = transport.get_remote_server_key()
            is_new = self._accepted.exists() and self._accepted.stat().st_size > before
            return LoggedIn(transport, f"{key.get_name()} {key.fingerprint}" if is_new else "")

        return await asyncio.to_thread(log_in)

    async def _host_key(self) -> Finding:
        try:
            entered = await self.logged_in()
        except AccountRefusedError:
            return good("it is the one that is known, or may be accepted")
        except ConnectionFailedError as problem:
            what, _, advice = self._as_configured(str(problem)).partition("; ")
            if not isinstance(problem.__cause__, HostKeyError):
                return wrong(what, advice or "is this Gerrit's SSH port? Look into Gerrit's sshd log")
            what, separator, mend = self._as_configured(str(problem)).partition(": somebody may be in between. ")
            if separator:
                return wrong(f"{what}: somebody may be in between", mend[:1].lower() + mend[1:])
            what, _, advice = what.partition("; ")
            return wrong(what, advice)
        if entered.new_key:
            kept = self.given.accepted_hosts
            return good(f"new: {entered.new_key} will be kept in {kept} at the first start; compare it with Gerrit's")
        return good("not checked: host_key_check is no" if self.given.host_key_check == "no" else "known, and the same")

    async def _account(self) -> Finding:
        try:
            await self.logged_in()
        except AccountRefusedError as problem:
            what, _, advice = str(problem).partition("; ")
            key = self.given.sshkey
            show = f": ssh-keygen -y -f {key}" if key is not None else ""
            return wrong(what, f"{advice}{show}; is [{self.section}] user the account's user name?")
        try:
            version = await self.version()
        except UnansweredError as problem:
            return wrong(
                f"user {self.given.user} gets in, and then: {problem}", "is the account active, and is this Gerrit?"
            )
        return good(f"{self.given.user} is let in; Gerrit {version}")

    # --- what the account may do ---

    async def _stream(self) -> Finding:
        transport = (await self.logged_in()).transport
        said = await asyncio.to_thread(_why_no_stream, transport)
        if said is None:
            return good(f"{self.given.user} may listen to Gerrit's events")
        return wrong(
            f"Gerrit refuses its event stream: {said}",
            f"in Gerrit: All-Projects, Access, Global Capabilities: Stream Events for a group of {self.given.user}",
        )

    async def _version(self) -> str:
        return (await self.run("gerrit version")).strip().removeprefix("gerrit version ")

    async def _visible(self) -> list[str]:
        return [each.strip() for each in (await self.run("gerrit ls-projects")).splitlines() if each.strip()]

    def _git(self, git: Git) -> Git:
        return git.having(**ssh_variables(self.settings))

    def _as_configured(self, text: str) -> str:
        """With the file that the settings name in the place of our copy."""
        return text.replace(str(self._accepted), str(self.given.accepted_hosts))

    @property
    def _way(self) -> str:
        where = f"{self.given.server} {self.given.port}"
        return f"correct server and port in [{self.section}], or open the way for this machine: nc -vz {where}"


def _why_no_stream(transport: paramiko.Transport) -> str | None:
    """None if it is open, and has stayed so."""
    try:
        channel = transport.open_session(timeout=ANSWER_S)
        with channel:
            channel.settimeout(ANSWER_S)
            channel.exec_command("gerrit stream-events")
            if not channel.status_event.wait(STREAM_S):
                return None
            return channel.recv_stderr(4096).decode(errors="replace").strip() or f"exit status {channel.exit_status}"
    except (paramiko.SSHException, OSError, EOFError) as problem:
        return failure_text(problem)
