"""A simulated Gerrit with a few accounts, and real SSH clients that talk to it."""

import functools
import json
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paramiko
import pytest

from ci_gate.sandbox.gerrit import SandboxGerrit

DEADLINE = 10.0


@dataclass(frozen=True)
class Answer:
    exit_status: int
    stdout: str
    stderr: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stdout.splitlines()]


class Stream:
    """A `stream-events` session and what came over it, until it ended."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self.channel = channel
        self.lines: list[bytes] = []
        self.ended = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        self.lines.extend(iter(self.channel.makefile("rb").readline, b""))
        self.ended.set()

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]

    def types(self) -> list[str]:
        return [event["type"] for event in self.events]


class Client:
    """One kept connection of one account, with Nagle's algorithm off."""

    def __init__(self, gerrit: SandboxGerrit, username: str, key: Path | None = None) -> None:
        self.gerrit = gerrit
        self.ssh = paramiko.SSHClient()
        self.ssh.set_missing_host_key_policy(paramiko.AutoAddPolicy())
        connection = socket.create_connection(("127.0.0.1", gerrit.port), timeout=DEADLINE)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.ssh.connect(
            "127.0.0.1", gerrit.port, username, pkey=paramiko.PKey.from_path(key or gerrit.key_file(username)),
            allow_agent=False, look_for_keys=False, timeout=DEADLINE, sock=connection,
        )  # fmt: skip

    def run(self, command: str, stdin: str | None = None) -> Answer:
        channel = self.ssh.get_transport().open_session(timeout=DEADLINE)
        channel.settimeout(DEADLINE)
        channel.exec_command(command)
        if stdin is not None:
            channel.sendall(stdin.encode())
            channel.shutdown_write()
        out, err = channel.makefile("rb").read(), channel.makefile_stderr("rb").read()
        return Answer(channel.recv_exit_status(), out.decode(), err.decode())

    def stream(self, options: str = "") -> Stream:
        before = self.gerrit.listeners
        channel = self.ssh.get_transport().open_session(timeout=DEADLINE)
        channel.exec_command(f"gerrit stream-events{options}")
        stream = Stream(channel)
        self.gerrit.wait_for(lambda: self.gerrit.listeners > before)
        return stream

    def close(self) -> None:
        self.ssh.close()


class Clone:
    """A clone of a project, made and used by real git over OpenSSH."""

    def __init__(self, gerrit: SandboxGerrit, folder: Path, username: str, project: str) -> None:
        self.folder = folder
        self._environment = gerrit.git_environment(username)
        self._run("clone", "--quiet", gerrit.url(project, username), str(folder))

    def git(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self._run("-C", str(self.folder), *arguments)

    def commit(self, path: str, content: str, message: str, *options: str) -> str:
        (self.folder / path).write_text(content)
        self.git("add", path)
        self.git("commit", "--quiet", "-m", message, *options)
        return self.git("rev-parse", "HEAD").stdout.strip()

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["git", *arguments], env=self._environment, capture_output=True, text=True, timeout=30, check=False
        )


def populate(gerrit: SandboxGerrit) -> SandboxGerrit:
    """The accounts and the project that the tests speak of; not one of them may do everything."""
    gerrit.create_account("ci-gate", votes={"Verified": (-2, 2)}, may_submit=True)
    gerrit.create_account("vendor-ci", votes={"Verified": (-1, 1)})
    gerrit.create_account("core", votes={"Code-Review": (-2, 2), "Workflow": (-1, 1)}, may_abandon=True)
    gerrit.create_account("admin", name="Administrator", may_push=True)
    gerrit.create_account("dev")
    gerrit.create_project("demo/alpha", {"README": "alpha\n"})
    return gerrit


@pytest.fixture
def gerrit(tmp_path: Path) -> Iterator[SandboxGerrit]:
    with populate(SandboxGerrit(tmp_path / "gerrit")) as running:
        yield running


@pytest.fixture(scope="module")
def unchanging_gerrit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxGerrit]:
    """One for all tests of a module that leave it as it is."""
    with populate(SandboxGerrit(tmp_path_factory.mktemp("gerrit"))) as running:
        yield running


@pytest.fixture
def connect(request: pytest.FixtureRequest) -> Iterator[Callable[..., Client]]:
    """Connect as somebody, to the usual Gerrit or to another one."""
    clients = []

    def open_client(username: str, other: SandboxGerrit | None = None, key: Path | None = None) -> Client:
        clients.append(Client(other or request.getfixturevalue("gerrit"), username, key))
        return clients[-1]

    yield open_client
    for client in clients:
        client.close()


@pytest.fixture
def ci(connect: Callable[..., Client]) -> Client:
    return connect("ci-gate")


@pytest.fixture
def dev_clone(gerrit: SandboxGerrit, tmp_path: Path) -> Clone:
    return Clone(gerrit, tmp_path / "dev-alpha", "dev", "demo/alpha")


def give_all_votes(gerrit: SandboxGerrit, number: int) -> None:
    """Give a change all that it needs to be submitted."""
    gerrit.comment(number, by="core", votes={"Code-Review": 2, "Workflow": 1})
    gerrit.comment(number, by="ci-gate", votes={"Verified": 2})


@pytest.fixture
def approve(gerrit: SandboxGerrit) -> Callable[[int], None]:
    return functools.partial(give_all_votes, gerrit)
