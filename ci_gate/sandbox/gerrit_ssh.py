"""The SSH server of the simulated Gerrit: connections, public-key log-in, and a thread for each command.

Knows neither Gerrit's commands nor its state: it is given a function that tells accounts from keys and one that
serves a command. Nothing here polls on the way of a command, so that one over a kept connection takes a few
milliseconds.
"""

import contextlib
import logging
import socket
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import paramiko

from ci_gate.sandbox.gerrit_faults import Faults
from ci_gate.sandbox.gerrit_values import Account

CLIENT_HAS_GONE = (OSError, EOFError, paramiko.SSHException)
"""What paramiko raises from a channel whose connection has ended."""

JOIN_TIMEOUT = 10.0
"""Seconds that `stop` gives each thread to end."""

_Thread = TypeVar("_Thread", bound=threading.Thread)
_LOG_CHANNEL = "sandbox.gerrit.ssh"
# A client that vanishes is no news on the console.
logging.getLogger(_LOG_CHANNEL).addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True)
class Request:
    """A command that a client asked for; its output goes to `channel`, which is closed when it was served."""

    channel: paramiko.Channel
    account: Account
    command: str
    environment: Mapping[str, str]
    drop_connection: Callable[[], None]
    spawn: Callable[[Callable[[], None]], threading.Thread]


class SshServer:
    """Listens on 127.0.0.1; `find_account` answers for a username, `serve` carries out a command."""

    def __init__(
        self,
        find_account: Callable[[str], Account | None],
        serve: Callable[[Request], None],
        faults: Faults,
        max_connections_per_user: int,
    ) -> None:
        self.faults = faults
        self.find_account = find_account
        self._serve = serve
        self._max_connections_per_user = max_connections_per_user
        self._lock = threading.Lock()
        self._listening: socket.socket | None = None
        self._accepting: threading.Thread | None = None
        self._host_key: paramiko.PKey | None = None
        self._connections: list[_Connection] = []
        self._workers: list[threading.Thread] = []

    def start(self, port: int, host_key: paramiko.PKey) -> int:
        """Listen on `port` (0: any free one) and return the port. `OSError` if it is taken."""
        listening = socket.create_server(("127.0.0.1", port), backlog=128)
        self._host_key = host_key
        self._listening = listening
        self._accepting = threading.Thread(
            target=self._accept, args=(listening,), name="sandbox-gerrit-accept", daemon=True
        )
        self._accepting.start()
        return int(listening.getsockname()[1])

    def stop(self) -> None:
        """Close everything and wait for all threads to end; harmless if not started."""
        if self._listening is None or self._accepting is None:
            return
        self._listening.shutdown(socket.SHUT_RDWR)  # wakes accept, which close alone does not
        self._listening.close()
        _join(self._accepting)
        self._listening = None
        self.drop_connections()
        while workers := self._alive(self._workers):  # one may have started another meanwhile
            for worker in workers:
                _join(worker)

    def drop_connections(self) -> None:
        """Cut all connections, as a restarted server or a firewall does, and wait until they are gone."""
        connections = self._alive(self._connections)
        for connection in connections:
            connection.cut()
        for connection in connections:
            _join(connection)

    @property
    def usernames(self) -> list[str]:
        """Whose connections are open, once for each of them."""
        logged_in = [each.session.account for each in self._alive(self._connections) if each.is_authenticated()]
        return sorted(account.username for account in logged_in if account is not None)

    def is_full_for(self, username: str) -> bool:
        """Whether somebody has as many connections as one may have."""
        return self.usernames.count(username) >= self._max_connections_per_user

    def spawn(self, work: Callable[[], None]) -> threading.Thread:
        """Run `work` on a thread that `stop` waits for."""
        worker = threading.Thread(target=work, name="sandbox-gerrit-worker", daemon=True)
        worker.start()
        self._keep(self._workers, worker)
        return worker

    def serve(self, request: Request) -> None:
        """Carry out a command, then close its channel; nobody is left to be told when the client has gone."""
        with contextlib.suppress(*CLIENT_HAS_GONE), contextlib.closing(request.channel):
            self._serve(request)

    def _alive(self, threads: "list[_Thread]") -> "list[_Thread]":
        """Those that run; the others are dropped from the list."""
        with self._lock:
            threads[:] = [thread for thread in threads if thread.is_alive()]
            return list(threads)

    def _keep(self, threads: "list[_Thread]", thread: "_Thread") -> None:
        self._alive(threads)
        with self._lock:
            threads.append(thread)

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                accepted, _ = listening.accept()
            except OSError:
                return
            connection = _Connection(_GatedSocket.take_over(accepted, self.faults.gate), self)
            if self._host_key is not None:
                connection.add_server_key(self._host_key)
            connection.start_server(event=threading.Event(), server=connection.session)
            self._keep(self._connections, connection)


class _GatedSocket(socket.socket):
    """A connection that sends nothing while its gate is shut."""

    gate: threading.Event

    @classmethod
    def take_over(cls, accepted: socket.socket, gate: threading.Event) -> "_GatedSocket":
        """Make one of an accepted socket, with Nagle's algorithm off."""
        gated = cls(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
        gated.gate = gate
        gated.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return gated

    def send(self, data: object, flags: int = 0, /) -> int:
        """Send, or time out, upon which paramiko looks whether it is closed and tries again."""
        if not self.gate.wait(0.1):
            raise TimeoutError
        return super().send(data, flags)  # type: ignore[arg-type]  # typeshed's Buffer is no type at run time in 3.11


class _Connection(paramiko.Transport):
    """paramiko's server side of one connection, which is a thread.

    A command's thread may not start before its exec request is answered: a quick command would close the channel
    first, and clients report "channel closed". paramiko sends that answer after `check_channel_exec_request`, on
    this thread, and tells nobody, so the next message that this thread sends is taken as the sign.
    """

    def __init__(self, sock: socket.socket, server: SshServer) -> None:
        super().__init__(sock)
        self.set_log_channel(_LOG_CHANNEL)
        self.session = _Session(server, self)
        self._server = server
        self._waiting: deque[Callable[[], None]] = deque()

    def start_after_answer(self, work: Callable[[], None]) -> None:
        """Run `work` as soon as the request that is being looked at has been answered."""
        self._waiting.append(work)

    @property
    def open_channels(self) -> int:
        """How many there are."""
        return len(self._channels)  # type: ignore[attr-defined]  # private in paramiko; its stubs leave it out

    def cut(self) -> None:
        """End the connection now."""
        with contextlib.suppress(OSError):  # the other side may have been quicker
            self.sock.shutdown(socket.SHUT_RDWR)
        self.close()

    def run(self) -> None:
        """Serve the connection until it ends."""
        try:
            super().run()
        finally:
            self.packetizer.complete_handshake()  # else the timer of an unfinished one lives on

    def _send_user_message(self, data: paramiko.Message) -> None:
        super()._send_user_message(data)  # type: ignore[misc]  # private in paramiko; its stubs leave it out
        if threading.current_thread() is self:
            while self._waiting:
                self._server.spawn(self._waiting.popleft())


class _Session(paramiko.ServerInterface):
    """Who is at the other end of a connection: after public-key log-in it may open sessions with commands."""

    def __init__(self, server: SshServer, connection: _Connection) -> None:
        self.account: Account | None = None
        self._server = server
        self._connection = connection
        self._opened: dict[int, paramiko.Channel] = {}
        self._environments: dict[int, dict[str, str]] = {}

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        account = self._server.find_account(username)
        if account is None or account.key != f"{key.get_name()} {key.get_base64()}":
            return paramiko.common.AUTH_FAILED
        if self.account is None and self._server.is_full_for(username):
            self._connection.close()
            return paramiko.common.AUTH_FAILED
        self.account = account
        return paramiko.common.AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:
        if kind != "session":
            return paramiko.common.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED
        faults = self._server.faults
        if faults.most_channels is not None and self._connection.open_channels >= faults.most_channels:
            faults.refused_channels += 1
            return paramiko.common.OPEN_FAILED_RESOURCE_SHORTAGE
        self._environments[chanid] = {}
        return paramiko.common.OPEN_SUCCEEDED

    def check_channel_env_request(self, channel: paramiko.Channel, name: bytes, value: bytes) -> bool:
        environment = self._environments.get(channel.get_id())
        if environment is not None:
            environment[name.decode()] = value.decode()
        return environment is not None

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        # paramiko queues new channels for somebody who accepts them; until its command runs, nobody else holds one.
        while (opened := self._connection.accept(0)) is not None:
            self._opened[opened.get_id()] = opened
        self._opened.pop(channel.get_id(), None)
        environment = self._environments.pop(channel.get_id(), None)
        if self.account is None or environment is None:
            return False
        text = command.decode(errors="replace")
        request = Request(channel, self.account, text, environment, self._connection.cut, self._server.spawn)
        self._connection.start_after_answer(lambda: self._server.serve(request))
        return True


def _join(thread: threading.Thread) -> None:
    if thread is threading.current_thread():
        return
    thread.join(JOIN_TIMEOUT)
    if thread.is_alive():
        raise RuntimeError(f"thread {thread.name} did not end within {JOIN_TIMEOUT:.0f} s")
