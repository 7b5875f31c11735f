"""Certificates for tests, made by OpenSSL's own command: an authority, and what it signs."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

from ci_gate.job_servers import TlsFiles

KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")


class Authority:
    def __init__(self, folder: Path, name: str = "authority") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.ca = folder / f"{name}.pem"
        self._key = folder / f"{name}.key"
        self._run("req", "-x509", *KEY, "-nodes", "-keyout", self._key, "-out", self.ca, "-subj", f"/CN={name}")

    def issue(self, name: str, *, days: int = 2, passphrase: str | None = None) -> TlsFiles:
        key, request, cert = (self._folder / f"{name}.{kind}" for kind in ("key", "csr", "pem"))
        secret = ("-passout", f"pass:{passphrase}") if passphrase else ("-nodes",)
        self._run("req", *KEY, *secret, "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        signer = ("-CA", self.ca, "-CAkey", self._key, "-CAcreateserial", "-days", str(days))
        self._run("x509", "-req", "-in", request, *signer, "-out", cert)
        return TlsFiles(key, cert, self.ca)

    def _run(self, *arguments: object) -> None:
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, cwd=self._folder)


def anonymous(files: TlsFiles) -> ssl.SSLContext:
    """Of a client that checks the server and shows no certificate of its own."""
    context = ssl.create_default_context(cafile=files.ca)
    context.check_hostname = False
    return context
