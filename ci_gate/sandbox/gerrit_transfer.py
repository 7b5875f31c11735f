"""Git over the simulated Gerrit's SSH: fetches and pushes by git's own `upload-pack` and `receive-pack`.

Fetches are git's business alone. Of a push git takes the objects and checks them; then it asks its proc-receive
hook what to do with each reference, and the hook hands that talk over to this module (gerrit_receive_hook.py):
`refs/for/BRANCH` becomes changes, branches and tags are moved for those with the right. So the pusher gets git's
own answer.
"""

import os
import socket
import subprocess
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from typing import BinaryIO, cast

from ci_gate.sandbox.gerrit_git import GitError, Repository
from ci_gate.sandbox.gerrit_json import Shapes
from ci_gate.sandbox.gerrit_receive_hook import DESCRIPTOR
from ci_gate.sandbox.gerrit_site import Site
from ci_gate.sandbox.gerrit_ssh import CLIENT_HAS_GONE, Request
from ci_gate.sandbox.gerrit_upload import Target, upload
from ci_gate.sandbox.gerrit_values import ZERO, Account, Change, RefusedError

_CHUNK = 65536
_REFS_FOR = "refs/for/"


def upload_pack(repository: Repository, request: Request) -> None:
    """Serve a fetch, in the version of git's protocol that the client asks for."""
    extra = {key: value for key, value in request.environment.items() if key == "GIT_PROTOCOL"}
    _run(request, repository, "upload-pack", extra, ())


def receive_pack(site: Site, project: str, repository: Repository, request: Request) -> None:
    """Serve a push. Its events are out before the pusher is told how it went."""
    ours, theirs = socket.socketpair()
    with theirs:
        decide = partial(_decide, site, project, request.account)
        talk = request.spawn(lambda: _answer_hook(ours, decide))
        descriptor = theirs.fileno()
        _run(request, repository, "receive-pack", {DESCRIPTOR: str(descriptor)}, (descriptor,))
    talk.join()


def _decide(site: Site, project: str, account: Account, command: str) -> str:
    """Do what a push asks by `OLD NEW REF`; returns what to show to the pusher, or raises `RefusedError`."""
    old, new, ref = command.split(" ", 2)
    if ref.startswith(_REFS_FOR):
        if new == ZERO:
            raise RefusedError("cannot delete")
        target = Target.parse(ref.removeprefix(_REFS_FOR))
        return _summary(site.shapes, upload(site, project, target, new, account.identity))
    action = "create" if old == ZERO else "delete" if new == ZERO else "update"
    if not account.may_push or not ref.startswith(("refs/heads/", "refs/tags/")):
        raise RefusedError(f"prohibited by Gerrit: not permitted: {action}")
    with site.lock:
        if site.repository(project).head(ref) != old:
            raise RefusedError("lock failure")
        site.update_ref(project, ref, new, account.identity)
    return ""


def _summary(shapes: Shapes, changes: list[Change]) -> str:
    new = sum(len(change.patch_sets) == 1 for change in changes)
    counts = [f"{word}: {count}" for word, count in (("new", new), ("updated", len(changes) - new)) if count]
    lines = [
        f"  {shapes.url(each)} {each.current.commit.subject} [{'WIP' if each.wip else each.status}]" for each in changes
    ]
    return "\n".join([f"Processing changes: refs: 1, {', '.join(counts)}, done", "", "SUCCESS", "", *lines, "", ""])


def _run(
    request: Request, repository: Repository, service: str, extra: dict[str, str], descriptors: tuple[int, ...]
) -> None:
    """Run one of git's services with its streams on the channel, until it ends or the client goes."""
    channel = request.channel
    with subprocess.Popen(
        ["git", service, str(repository.path)], env=repository.environment | extra, pass_fds=descriptors,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        stdin, stdout, stderr = (cast("BinaryIO", each) for each in (process.stdin, process.stdout, process.stderr))
        feeding = request.spawn(lambda: _feed(channel.recv, stdin))
        try:
            while data := os.read(stdout.fileno(), _CHUNK):
                channel.sendall(data)
            channel.sendall_stderr(stderr.read())
            channel.send_exit_status(process.wait())
        finally:
            process.kill()
            # A client may leave its end open until ours is closed; the thread that feeds git waits for either.
            with suppress(*CLIENT_HAS_GONE):
                channel.close()
            feeding.join()


def _feed(read: Callable[[int], bytes], pipe: BinaryIO) -> None:
    """Pass on what comes from the client, and its end; git may end first, having said why."""
    with suppress(*CLIENT_HAS_GONE), pipe:
        while data := read(_CHUNK):
            pipe.write(data)
            pipe.flush()


# -- the proc-receive hook's protocol, version 1 (githooks(5)) ------------------------------------


def _answer_hook(server: socket.socket, decide: Callable[[str], str]) -> None:
    """Take over the hook's streams and answer git; returns at once if the push ended before git asked."""
    with suppress(OSError), server, ExitStack() as streams:  # git may be ended, its client having gone
        _, descriptors, _, _ = socket.recv_fds(server, 1, 3)
        if len(descriptors) < 3:
            return
        asked, answers, screen = (
            cast("BinaryIO", streams.enter_context(open(descriptor, mode)))  # noqa: PTH123 - descriptors, not paths
            for descriptor, mode in zip(descriptors, ("rb", "wb", "wb"), strict=True)
        )
        _packets(asked)  # the version and features that git offers
        answers.write(_packet("version=1") + b"0000")
        answers.flush()
        for command in _packets(asked):
            ref = command.split(" ", 2)[2]
            try:
                screen.write(decide(command).encode())
                answers.write(_packet(f"ok {ref}"))
            except (RefusedError, GitError) as error:
                answers.write(_packet(f"ng {ref} {str(error).splitlines()[0]}"))
        answers.write(b"0000")


def _packets(stream: BinaryIO) -> list[str]:
    """Read packet lines up to a flush packet."""
    packets = []
    while length := int(stream.read(4) or b"0", 16):
        packets.append(stream.read(length - 4).decode().rstrip("\n"))
    return packets


def _packet(text: str) -> bytes:
    return f"{len(text.encode()) + 4:04x}{text}".encode()
