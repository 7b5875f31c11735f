"""A connection that a command makes (OpenSSH's ProxyCommand), as a socket: the command has the other end."""

from __future__ import annotations

import socket
import subprocess
import threading


class ProxySocket(socket.socket):
    """Closing it ends the command."""

    _process: subprocess.Popen[bytes] | None = None

    @classmethod
    def open(cls, command: str) -> ProxySocket:
        """Start a command as OpenSSH does: by the shell, which it replaces. Raises OSError."""
        ours, theirs = socket.socketpair()
        with theirs:
            made = cls(ours.family, ours.type, ours.proto, fileno=ours.detach())
            try:
                made._process = subprocess.Popen(
                    ["/bin/sh", "-c", f"exec {command}"],
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    start_new_session=True,
                )
            except BaseException:
                made.close()
                raise
        threading.Thread(target=made._process.wait, name="ProxyCommand", daemon=True).start()
        return made

    def close(self) -> None:
        super().close()
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
