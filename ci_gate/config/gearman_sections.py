"""``[gearman]`` and ``[gearman_server]``: where job servers are, and the built-in one (ci-conf.md 6)."""

from __future__ import annotations

from collections.abc import Iterator

from ci_gate.config.settings import GearmanServerSettings, GearmanSettings
from ci_gate.config.settings_schema import GEARMAN
from ci_gate.config.values import Reader
from ci_gate.job_servers import TlsFiles

LOOPBACK = "127.0.0.1"
TLS_KEYS = ("ssl_key", "ssl_cert", "ssl_ca")
PORT = GEARMAN["port"]


def read_gearman_server(reader: Reader) -> GearmanServerSettings:
    return GearmanServerSettings(
        start=reader.boolean("gearman_server", "start", default=False),
        listen_address=reader.text("gearman_server", "listen_address") or "",
        log_config=reader.path("gearman_server", "log_config"),
        tls=_tls(reader, "gearman_server"),
    )


def read_gearman(reader: Reader, own_server: GearmanServerSettings) -> GearmanSettings:
    """Of several servers the built-in one is the first."""
    text = reader.text("gearman", "server")
    if not text and not own_server.start:
        reader.missing("gearman", "server", "set it to the host of the Gearman server")
    port = reader.integer("gearman", "port", 4730)
    servers = list(_servers(reader, text or "", port)) or [(LOOPBACK, port)]
    tls = _tls(reader, "gearman")
    if own_server.start and (tls is None) is not (own_server.tls is None):
        lacking, having = ("gearman", "gearman_server") if tls is None else ("gearman_server", "gearman")
        reader.error(0, f"[{lacking}] ssl_key, ssl_cert and ssl_ca are missing: [{having}] has them, and both have to")
    return GearmanSettings(
        server=servers[0][0],
        port=servers[0][1],
        check_job_registration=reader.boolean("gearman", "check_job_registration", default=True),
        admin_functions=reader.boolean("gearman", "admin_functions", default=True),
        others=tuple(servers[1:]),
        tls=tls,
    )


def _servers(reader: Reader, text: str, default_port: int) -> Iterator[tuple[str, int]]:
    """HOST, HOST:PORT, an IPv6 address, or that in brackets with a port; several with commas between them."""
    for place in filter(None, map(str.strip, text.split(","))):
        host, separator, port = place.rpartition(":")
        if not separator or (":" in host and not host.endswith("]")):
            yield place.strip("[]"), default_port
            continue
        if not host or not (port.isascii() and port.isdecimal() and PORT.least <= int(port) <= PORT.most):
            reader.error(reader.line("gearman", "server"), f'[gearman] server: "{place}" is not HOST or HOST:PORT')
            continue
        yield host.strip("[]"), int(port)


def _tls(reader: Reader, section: str) -> TlsFiles | None:
    """All three or none, as in gear: there is no encryption without certificates on both sides."""
    key, cert, ca = (reader.path(section, each) for each in TLS_KEYS)
    if key and cert and ca:
        return TlsFiles(key, cert, ca, section)
    given = [name for name in TLS_KEYS if reader.text(section, name)]
    for name in TLS_KEYS if given else ():
        if name not in given:
            reader.missing(section, name, f"{given[0]} needs it; give ssl_key, ssl_cert and ssl_ca, or none of them")
    return None
