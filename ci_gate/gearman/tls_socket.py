"""A TLS connection that one thread reads and another writes: OpenSSL does not allow both at once.

Used by ``client.py``, with the few methods of a socket that it needs.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading

import gear


class TlsSocket:
    """``timeout_s`` is for shaking hands, and for the other side to take what is sent."""

    def __init__(self, connection: socket.socket, context: ssl.SSLContext, host: str, timeout_s: float) -> None:
        self._lock = threading.Lock()
        self._timeout_s = timeout_s
        self._socket = context.wrap_socket(connection, server_hostname=host)  # waits as long as the connection did
        self._socket.setblocking(False)

    def fileno(self) -> int:
        return self._socket.fileno()

    def recv(self, size: int) -> bytes:
        """Raises gear.RetryIOError while nothing whole has come, and OSError."""
        with self._lock:
            try:
                return self._socket.recv(size)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as nothing:
                raise gear.RetryIOError from nothing

    def pending(self) -> int:
        """Bytes that were received and that no poll will tell of."""
        with self._lock, contextlib.suppress(OSError, ValueError):
            return self._socket.pending()
        return 0

    def sendall(self, data: bytes) -> None:
        """Raises OSError, TimeoutError among them."""
        rest = memoryview(data)
        while rest:
            with self._lock:
                try:
                    rest = rest[self._socket.send(rest) :]
                    continue
                except ssl.SSLWantReadError:
                    wanted = select.POLLIN
                except ssl.SSLWantWriteError:
                    wanted = select.POLLOUT
            poll = select.poll()
            poll.register(self._socket.fileno(), wanted)
            if not poll.poll(self._timeout_s * 1000):
                raise TimeoutError("the server takes nothing more")

    def getsockopt(self, level: int, option: int) -> int:
        return self._socket.getsockopt(level, option)

    def shutdown(self, how: int) -> None:
        with self._lock:
            self._socket.shutdown(how)

    def close(self) -> None:
        with self._lock:
            self._socket.close()
