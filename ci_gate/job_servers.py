"""Where the job servers are, and the certificates for connections to them. Beside the floors, as every worker needs it.

With certificates both sides show one, and each accepts any that the same authority has signed, whatever its name: so
it is with gear and gearmand, and their ``ssl_key``, ``ssl_cert`` and ``ssl_ca``.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path


class TlsError(Exception):
    """Key or certificates cannot be used. The text is one line for the operator, with the setting and the file."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files, named in ``section`` of the configuration. ``ca`` has the authorities whose peers are accepted."""

    key: Path
    cert: Path
    ca: Path
    section: str = "gearman"


@dataclass(frozen=True, slots=True)
class Address:
    """One job server; ``tls`` is there if it is to be spoken to encrypted."""

    host: str
    port: int
    tls: ssl.SSLContext | None = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def addresses(places: Iterable[tuple[str, int]], files: TlsFiles | None) -> tuple[Address, ...]:
    """The same servers with certificates, if there are ``files``. Blocks. Raises TlsError."""
    tls = client_context(files) if files else None
    return tuple(Address(host, port, tls) for host, port in places)


def client_context(files: TlsFiles) -> ssl.SSLContext:
    """For connections to a job server. Blocks. Raises TlsError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    return _filled(context, files)


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """For a job server. Blocks. Raises TlsError."""
    return _filled(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), files)


def _filled(context: ssl.SSLContext, files: TlsFiles) -> ssl.SSLContext:
    context.verify_mode = ssl.CERT_REQUIRED
    for name, path in (("ssl_key", files.key), ("ssl_cert", files.cert), ("ssl_ca", files.ca)):
        try:
            path.open("rb").close()
        except OSError as problem:
            raise TlsError(f"[{files.section}] {name}: {path} cannot be read: {problem.strerror}") from problem
    try:
        context.load_cert_chain(files.cert, files.key, password=_no_password)
    except ssl.SSLError as problem:
        raise TlsError(_why_not(files, problem)) from problem
    try:
        context.load_verify_locations(files.ca)
    except ssl.SSLError as problem:
        raise TlsError(f"[{files.section}] ssl_ca: {files.ca} has no certificate in PEM format") from problem
    return context


def _no_password() -> str:
    """Asked for if the key is encrypted; without this OpenSSL would ask on the terminal."""
    return ""


def _why_not(files: TlsFiles, problem: ssl.SSLError) -> str:
    if problem.reason == "KEY_VALUES_MISMATCH":
        return f"[{files.section}] ssl_key: {files.key} is not the key of the certificate {files.cert}"
    return (
        f"[{files.section}] ssl_cert, ssl_key: {files.cert} and {files.key} have to be a certificate and its key "
        f"in PEM format, the key without a passphrase ({problem.reason or problem})"
    )
