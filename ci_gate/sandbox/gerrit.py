"""A simulated Gerrit for the demo, the benchmarks and the tests: a real SSH server over real git repositories.

It stands for the outside world, in the shape of Gerrit 3.13 on the wire (gerrit-wire.md), and shares no code with
the service. This is its surface; the parts are in the modules gerrit_*.py beside it:

    ssh → service → commands → options, query, review, submit
                  → transfer → upload (pushes), git (fetches)
                  → stream     site (the state) → git, json → values        faults (asked by ssh, service and site)

    with SandboxGerrit(folder) as gerrit:
        key = gerrit.create_account("ci", votes={"Verified": (-1, 1)})
        gerrit.create_account("dev")
        gerrit.create_project("demo/alpha")
        change = gerrit.create_change("demo/alpha", {"a.txt": "one\\n"}, "Add a file", by="dev")
        gerrit.comment(change.number, by="dev", message="recheck")
        gerrit.wait_for(lambda: gerrit.votes(change.number, "Verified").get("ci") == 1, deadline=10)

Methods raise `RefusedError` with Gerrit's words for what Gerrit would refuse. All may be called from any thread.
"""

import secrets
import shlex
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import paramiko

from ci_gate.sandbox import gerrit_review
from ci_gate.sandbox.gerrit_faults import Faults
from ci_gate.sandbox.gerrit_git import environment
from ci_gate.sandbox.gerrit_json import Json, line
from ci_gate.sandbox.gerrit_service import CommandService, ReceivedCommand
from ci_gate.sandbox.gerrit_site import Site
from ci_gate.sandbox.gerrit_ssh import SshServer
from ci_gate.sandbox.gerrit_submit import submit
from ci_gate.sandbox.gerrit_upload import Target, upload
from ci_gate.sandbox.gerrit_values import (
    ZERO,
    Account,
    Change,
    Identity,
    Message,
    NotFoundError,
    RefusedError,
    SiteSettings,
)

__all__ = ["Account", "Change", "NotFoundError", "RefusedError", "SandboxGerrit", "SiteSettings"]

HOST = "127.0.0.1"

_T = TypeVar("_T")
_ADMINISTRATOR = Identity("Administrator", "admin@example.org", "admin")
_POLL_SECONDS = 0.02
_REGISTERED_USERS = {"Code-Review": (-1, 1)}


class SandboxGerrit:
    """One simulated Gerrit, which keeps its repositories, its users' keys and its host key in `folder`.

    Its accounts and changes live as long as the object, through any number of `stop` and `start`.
    """

    def __init__(
        self,
        folder: Path,
        settings: SiteSettings | None = None,
        *,
        port: int = 0,
        host_key: paramiko.PKey | None = None,
    ) -> None:
        self.folder = folder = folder.resolve()
        self.faults = Faults()
        self.port = port
        self._keys = folder / "keys"
        self._keys.mkdir(parents=True, exist_ok=True)
        self.host_key = host_key or self._kept_host_key()
        self._site = Site(folder / "git", settings or SiteSettings(), self.faults)
        self._service = CommandService(self._site, self.faults)
        self._server = SshServer(
            self._site.account, self._service.serve, self.faults, self._site.settings.max_connections_per_user
        )

    # -- running ---------------------------------------------------------------------------------

    def start(self) -> Self:
        """Listen on `port`; a port that was left open (0) is a free one from the first start on."""
        self.port = self._server.start(self.port, self.host_key)
        return self

    def stop(self) -> None:
        """Cut all connections and end all threads."""
        self._server.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def drop_connections(self) -> None:
        """Cut all connections; new ones are welcome."""
        self._server.drop_connections()

    def change_host_key(self) -> None:
        """Be another host from the next start on."""
        (self.folder / "host_key").unlink(missing_ok=True)
        self.host_key = self._kept_host_key()

    def _kept_host_key(self) -> paramiko.PKey:
        path = self.folder / "host_key"
        if not path.exists():
            paramiko.ECDSAKey.generate().write_private_key_file(str(path))
        return paramiko.ECDSAKey.from_private_key_file(str(path))

    # -- setting it up ---------------------------------------------------------------------------

    def create_account(
        self,
        username: str,
        *,
        name: str | None = None,
        email: str | None = None,
        key_file: Path | None = None,
        votes: Mapping[str, tuple[int, int]] | None = None,
        may_submit: bool = False,
        may_push: bool = False,
        may_abandon: bool = False,
        may_stream: bool = True,
    ) -> Path:
        """Let somebody in; returns the private key file, a new one unless one (without passphrase) is given.

        `votes` are the lowest and highest vote for each label that the account may give, besides Code-Review -1..+1.
        """
        path = self.key_file(username)
        path.unlink(missing_ok=True)
        if key_file is None:
            paramiko.ECDSAKey.generate().write_private_key_file(str(path))
        else:
            path.symlink_to(key_file.resolve())
        key = paramiko.PKey.from_path(path)
        identity = Identity(name or username.replace("-", " ").title(), email or f"{username}@example.org", username)
        self._site.add_account(
            Account(
                identity, username, f"{key.get_name()} {key.get_base64()}", _REGISTERED_USERS | dict(votes or {}),
                may_submit, may_push, may_abandon, may_stream,
            )
        )  # fmt: skip
        return path

    def create_project(
        self, project: str, files: Mapping[str, str] | None = None, branches: tuple[str, ...] = ("master",)
    ) -> None:
        """Make a project with one commit, which all `branches` point to; HEAD is the first."""
        first, *others = branches
        self._site.add_project(project, files or {}, first, _ADMINISTRATOR)
        for branch in others:
            self.update_ref(project, f"refs/heads/{branch}", self.head(project, first))

    # -- what developers do ----------------------------------------------------------------------

    def create_change(
        self,
        project: str,
        files: Mapping[str, str | None],
        message: str,
        *,
        by: str,
        branch: str = "master",
        parent: Change | str | None = None,
        topic: str | None = None,
        wip: bool = False,
    ) -> Change:
        """Upload one commit as a new change.

        `files` maps a path to its content, None to delete it; `parent` is a change to stand on, or a revision, and
        the branch's tip if None. A Change-Id is added to a message without one.
        """
        account = self._account(by)
        base = parent.current.revision if isinstance(parent, Change) else parent or self.head(project, branch)
        repository = self._site.repository(project)
        revision = repository.commit(base, _with_change_id(message), account.identity, files)
        return upload(self._site, project, Target(branch, topic, wip), revision, account.identity)[-1]

    def create_patch_set(
        self,
        number: int,
        files: Mapping[str, str | None] | None = None,
        message: str | None = None,
        *,
        by: str | None = None,
        parent: Change | str | None = None,
    ) -> Change:
        """Upload a new patch set: the current one's files, and those in `files` besides, in a new commit.

        It stands on the same parent and has the same message unless others are given (the Change-Id is added), and
        comes from the owner unless told.
        """
        change = self.change(number)
        current = change.current.commit
        uploader = self._account(by or str(change.owner.username)).identity
        base = parent.current.revision if isinstance(parent, Change) else parent or current.parents[0]
        text = current.message if message is None else _with_change_id(message, change.change_id)
        repository = self._site.repository(change.project)
        revision = repository.commit(base, text, uploader, files or {}, current.files)
        return upload(self._site, change.project, Target(change.branch), revision, uploader)[-1]

    def push(
        self, project: str, files: Mapping[str, str | None], message: str, *, by: str, branch: str = "master"
    ) -> str:
        """Commit onto a branch without review; returns the new tip."""
        account = self._account(by)
        if not account.may_push:
            raise RefusedError("prohibited by Gerrit: not permitted: update")
        repository = self._site.repository(project)
        revision = repository.commit(self.head(project, branch), f"{message}\n", account.identity, files)
        self.update_ref(project, f"refs/heads/{branch}", revision, by=by)
        return revision

    def update_ref(self, project: str, ref: str, revision: str | None, *, by: str | None = None) -> None:
        """Create, move or (None) delete a branch or tag, by the administrator unless told."""
        who = self._account(by).identity if by else _ADMINISTRATOR
        self._site.update_ref(project, ref, revision or ZERO, who)

    def comment(
        self,
        number: int,
        *,
        by: str,
        message: str = "",
        votes: Mapping[str, int] | None = None,
        patch_set: int | None = None,
        tag: str | None = None,
        inline_comments: int = 0,
    ) -> None:
        """Comment and vote on a patch set, the current one unless told."""
        wanted = patch_set or self.change(number).current.number
        gerrit_review.review(
            self._site, self._account(by), number, wanted, message=message, votes=votes, tag=tag,
            inline_comments=inline_comments,
        )  # fmt: skip

    def abandon(self, number: int, *, by: str, reason: str = "") -> None:
        """Close a change without merging it."""
        gerrit_review.abandon(self._site, self._account(by), number, reason)

    def restore(self, number: int, *, by: str, reason: str = "") -> None:
        """Open an abandoned change again."""
        gerrit_review.restore(self._site, self._account(by), number, reason)

    def set_wip(self, number: int, *, by: str, wip: bool) -> None:
        """Mark a change as work in progress, or as ready."""
        gerrit_review.set_wip(self._site, self._account(by), number, wip=wip)

    def submit(self, number: int, *, by: str) -> None:
        """Merge a change, with the open ones that it stands on."""
        submit(self._site, self._account(by), number)

    # -- what it holds ---------------------------------------------------------------------------

    def change(self, number: int) -> Change:
        """A change as it is now; `NotFoundError` if there is none."""
        return gerrit_review.find(self._site, number, None)[0]

    def votes(self, number: int, label: str) -> dict[str, int]:
        """Who voted what on the current patch set, by username."""
        return self.change(number).votes(label)

    def messages(self, number: int) -> tuple[Message, ...]:
        """All messages of a change as stored, uploads among them."""
        return self.change(number).messages

    def head(self, project: str, branch: str = "master") -> str:
        """A branch's tip; 40 zeros if there is no such branch."""
        return self._site.repository(project).head(f"refs/heads/{branch}")

    def repository_path(self, project: str) -> Path:
        """The bare repository of a project."""
        return self._site.repository(project).path

    @property
    def received(self) -> tuple[ReceivedCommand, ...]:
        """The commands that came over SSH, the last 10,000 of them."""
        with self._site.lock:
            return tuple(self._service.received)

    @property
    def listeners(self) -> int:
        """How many `stream-events` sessions are alive."""
        return len(self._site.stream.listeners)

    @property
    def changes(self) -> list[Change]:
        """All changes as they are now."""
        return self._site.changes

    @property
    def connections(self) -> list[str]:
        """The usernames of all logged-in connections."""
        return self._server.usernames

    def wait_for(self, condition: Callable[[], _T], deadline: float = 10.0, what: str = "the condition") -> _T:
        """Wait until `condition` answers something true and return it; `TimeoutError` after `deadline` seconds."""
        end = time.monotonic() + deadline
        while not (answer := condition()):
            if time.monotonic() > end:
                raise TimeoutError(f"{what} did not come true within {deadline} s")
            with self._site.altered:
                self._site.altered.wait(_POLL_SECONDS)
        return answer

    # -- how to reach it -------------------------------------------------------------------------

    def key_file(self, username: str) -> Path:
        """The private key of an account."""
        return self._keys / username

    def url(self, project: str, username: str) -> str:
        """Where git fetches from and pushes to."""
        return f"ssh://{username}@{HOST}:{self.port}/{project}"

    def git_environment(self, username: str) -> dict[str, str]:
        """An environment in which git and OpenSSH reach the server as that account, read from nowhere else."""
        who = self._account(username).identity
        options = {
            "IdentitiesOnly": "yes",
            "BatchMode": "yes",
            "StrictHostKeyChecking": "no",
            "UserKnownHostsFile": "/dev/null",
            "LogLevel": "ERROR",
        }
        ssh = [
            "ssh",
            "-F",
            "none",
            "-i",
            str(self.key_file(username)),
            *(f"-o{key}={options[key]}" for key in options),
        ]
        people = {f"GIT_{role}_NAME": who.name for role in ("AUTHOR", "COMMITTER")}
        addresses = {f"GIT_{role}_EMAIL": who.email for role in ("AUTHOR", "COMMITTER")}
        return environment(self.folder) | people | addresses | {"GIT_SSH_COMMAND": shlex.join(ssh)}

    # -- what a stream should not bring ----------------------------------------------------------

    def send_event(self, event: Json) -> None:
        """Send an event of the caller's making to all listeners, type filters and all."""
        self._site.publish(event)

    def write_to_streams(self, data: bytes) -> None:
        """Send bytes as they are to all listeners: broken JSON, blank lines, half a line."""
        self._site.stream.write(data)

    def send_dropped_output(self) -> None:
        """Tell all listeners that they have missed something."""
        self.write_to_streams(line({"type": "dropped-output", "eventCreatedOn": int(time.time())}))

    def cut_streams(self, data: bytes = b'{"author":{"name":"De') -> None:
        """Send `data`, half a line, to all listeners and cut their connections."""
        self._site.stream.write(data, last=True)

    def _account(self, username: str) -> Account:
        account = self._site.account(username)
        if account is None:
            raise RefusedError(f"Account '{username}' not found")
        return account


def _with_change_id(message: str, change_id: str | None = None) -> str:
    """A commit message with a Change-Id in its last paragraph, which is a new one unless it holds footers."""
    text = message.strip()
    if "\nChange-Id: " in text:
        return f"{text}\n"
    last = text.split("\n\n")[-1] if "\n\n" in text else ""
    has_footers = bool(last) and all(": " in line_ and " " not in line_.split(":")[0] for line_ in last.split("\n"))
    return f"{text}{'' if has_footers else chr(10)}\nChange-Id: {change_id or 'I' + secrets.token_hex(20)}\n"
