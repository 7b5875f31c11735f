"""``validate --gearman``: which jobs the workers of a running job server offer now."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from ci_gate.config.layout import JobList
from ci_gate.config.problems import RefusedError
from ci_gate.config.read_settings import find_settings_file, read_settings
from ci_gate.gearman.inquiry import InquiryError, registered_functions
from ci_gate.job_servers import Address, TlsError, addresses

BUILD = "build"
DEFAULT_PORT = 4730
HIGHEST_PORT = 65535


class OfferedError(Exception):
    """The server cannot be asked; the text says why and what to do."""


def offered_jobs(address: str, config: str | None, *, configured: bool) -> JobList:
    """``address`` is HOST:PORT or HOST; empty: the servers of the configuration, if there is one to look at, which also
    says whether they want TLS.

    Raises OfferedError.
    """
    servers = _configured(config) if configured else (Address("127.0.0.1", DEFAULT_PORT),)
    if address:
        servers = (replace(_parsed(address), tls=servers[0].tls),)
    offered: set[str] = set()
    for server in servers:
        try:
            workers = asyncio.run(registered_functions(server))
        except InquiryError as problem:
            text = f"cannot ask the Gearman server: {problem}; name it with --gearman HOST:PORT"
            raise OfferedError(text) from problem
        offered.update(function for function, number in workers.items() if number)
    return JobList(
        frozenset(_job(function) for function in offered if function.startswith(f"{BUILD}:")),
        f"offered by no worker of the Gearman server {' or '.join(map(str, servers))}",
    )


def _job(function: str) -> str:
    """``build:JOB``, or ``build:JOB:NODE`` for one kind of node (gearman-jenkins.md 2)."""
    return function.split(":")[1]


def _parsed(address: str) -> Address:
    host, separator, port = address.rpartition(":")
    if not separator:
        return Address(address, DEFAULT_PORT)
    if not host or not (port.isascii() and port.isdigit() and 0 < int(port) <= HIGHEST_PORT):
        raise OfferedError(f'--gearman: "{address}" is not HOST:PORT, as in 127.0.0.1:{DEFAULT_PORT}')
    return Address(host.strip("[]"), int(port))


def _configured(config: str | None) -> tuple[Address, ...]:
    try:
        settings, _ = read_settings(find_settings_file(config))
        return addresses(settings.gearman.servers, settings.gearman.tls)
    except (RefusedError, TlsError) as refused:
        raise OfferedError(str(refused)) from refused
