"""TLS at the built-in job server: shaking hands bit by bit, so that a slow or silent peer keeps nobody out."""

from __future__ import annotations

import logging
import ssl
from typing import Any

log = logging.getLogger("gear.Server")


class Handshakes:
    """``begin`` is called on the thread that accepts connections, the rest on the one that reads them."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        """None: nothing is encrypted."""
        self._context = context
        self._under_way: set[Any] = set()
        self._failed: set[str] = set()  # hosts of which that was told

    def begin(self, connection: Any) -> None:
        """Raises OSError: the peer has gone again."""
        if self._context:
            connection.conn = self._context.wrap_socket(
                connection.conn, server_side=True, do_handshake_on_connect=False
            )
            self._under_way.add(connection)

    def go_on(self, connection: Any) -> bool:
        """Whether it is done. Raises OSError if there will be none."""
        if connection not in self._under_way:
            return True
        try:
            connection.conn.do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except OSError as error:
            level = logging.DEBUG if connection.host in self._failed else logging.WARNING
            log.log(level, "No TLS with %s: %s", connection.host, error)
            self._failed.add(connection.host)
            raise
        self._under_way.discard(connection)
        self._failed.discard(connection.host)
        return True

    def forget(self, connection: Any) -> None:
        self._under_way.discard(connection)
