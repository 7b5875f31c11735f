"""What the simulated Gerrit does with a command that came over SSH: words to functions, faults in between.

Called by the SSH server, on a thread of each command's own. Knows the names of all commands; what they mean is in
gerrit_commands.py, gerrit_stream.py and gerrit_transfer.py.
"""

import time
from collections import deque
from dataclasses import dataclass, replace

import structlog

from ci_gate.sandbox.gerrit_commands import Reply, needs_input, run
from ci_gate.sandbox.gerrit_faults import Fault, Faults
from ci_gate.sandbox.gerrit_options import UsageError, parse, split
from ci_gate.sandbox.gerrit_site import Site
from ci_gate.sandbox.gerrit_ssh import Request
from ci_gate.sandbox.gerrit_transfer import receive_pack, upload_pack
from ci_gate.sandbox.gerrit_values import RefusedError

_LOG = structlog.stdlib.get_logger("sandbox.gerrit")
_KEPT_COMMANDS = 10_000
_INPUT_TIMEOUT = 60.0
_LIVENESS_INTERVAL = 0.1
"""Seconds between two looks whether the client of a silent session is still there."""


@dataclass(frozen=True, slots=True)
class ReceivedCommand:
    """A command as it arrived: `at` is a `time.monotonic()`, `stdin` what came with it (`review --json`)."""

    at: float
    username: str
    line: str
    stdin: bytes = b""


class CommandService:
    """Serves all commands of one site."""

    def __init__(self, site: Site, faults: Faults) -> None:
        self.received: deque[ReceivedCommand] = deque(maxlen=_KEPT_COMMANDS)
        self._site = site
        self._faults = faults

    def serve(self, request: Request) -> None:
        """Carry out one command and tell its exit status; errors of the channel (the client has gone) pass."""
        words = split(request.command)
        command = words[1:] if words[:1] == ["gerrit"] else words
        stdin = _read_input(request) if command and needs_input(command) else b""
        with self._site.altered:
            self.received.append(ReceivedCommand(time.monotonic(), request.account.username, request.command, stdin))
            self._site.altered.notify_all()
        fault = self._faults.take(command[0]) if command else None
        if fault is None:
            self._carry_out(request, words, stdin)
        elif fault.kind == "fail":
            _finish(request, Reply(stderr=f"{fault.stderr}\n", exit_status=fault.exit_status))
        else:
            applied = fault.applied and words[0] == "gerrit"
            self._break_off(request, fault, self._reply(request, command, stdin) if applied else Reply())

    def _carry_out(self, request: Request, words: list[str], stdin: bytes) -> None:
        match words:
            case ["gerrit", "stream-events", *options]:
                self._stream(request, options)
            case ["gerrit", *command] if command:
                _finish(request, self._reply(request, command, stdin))
            case ["git-upload-pack" | "git-receive-pack" as service, path]:
                self._transfer(request, service, path)
            case _:
                name = words[0] if words else ""
                _finish(request, Reply(stderr=f"fatal: {name}: not found\n", exit_status=1))

    def _reply(self, request: Request, words: list[str], stdin: bytes) -> Reply:
        try:
            return run(self._site, request.account, words, stdin)
        except Exception:  # noqa: BLE001 - a server answers every command, whatever broke; the log has it
            _LOG.exception("command failed", command=request.command)
            return Reply(stderr="fatal: internal server error\n", exit_status=1)

    def _break_off(self, request: Request, fault: Fault, reply: Reply) -> None:
        """Send half of a reply; then cut the connection, or say nothing more until the faults are cleared."""
        epoch = self._faults.epoch
        half = len(reply.stdout) // 2
        if half:
            request.channel.sendall(reply.stdout[:half])
        if fault.kind == "cut":
            request.drop_connection()
        while not request.channel.closed:
            if self._faults.epoch != epoch:
                _finish(request, replace(reply, stdout=reply.stdout[half:]))
                return
            time.sleep(_LIVENESS_INTERVAL)

    def _stream(self, request: Request, words: list[str]) -> None:
        try:
            given, _ = parse(words, {"-s": "type", "--subscribe": "type"}, {})
        except UsageError as error:
            return _finish(request, Reply(stderr=f"fatal: {error}\n", exit_status=1))
        if not request.account.may_stream:
            return _finish(request, Reply(stderr="stream events not permitted\n", exit_status=1))
        channel = request.channel
        types = frozenset(value for _, value in given) or None
        listener = self._site.stream.listen(types, lambda: bool(channel.closed))
        try:
            while not channel.closed:
                output = listener.take(_LIVENESS_INTERVAL)
                if output is not None:
                    channel.sendall(output.data)
                    if output.last:
                        request.drop_connection()
        finally:
            self._site.stream.forget(listener)
        return None

    def _transfer(self, request: Request, service: str, path: str) -> None:
        project = path.strip("/").removesuffix(".git")
        try:
            repository = self._site.repository(project)
        except RefusedError as error:
            return _finish(request, Reply(stderr=f"fatal: {error}\n", exit_status=128))
        if service == "git-upload-pack":
            upload_pack(repository, request)
        else:
            receive_pack(self._site, project, repository, request)
        return None


def _read_input(request: Request) -> bytes:
    request.channel.settimeout(_INPUT_TIMEOUT)
    parts = []
    while part := request.channel.recv(65536):
        parts.append(part)
    request.channel.settimeout(None)
    return b"".join(parts)


def _finish(request: Request, reply: Reply) -> None:
    if reply.stdout:
        request.channel.sendall(reply.stdout)
    if reply.stderr:
        request.channel.sendall_stderr(reply.stderr.encode())
    request.channel.send_exit_status(reply.exit_status)
