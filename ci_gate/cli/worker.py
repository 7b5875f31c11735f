"""``ci-gate worker``: plain commands as jobs, in the foreground, until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import structlog

from ci_gate.config.problems import RefusedError
from ci_gate.config.read_settings import find_settings_file, read_gearman_settings
from ci_gate.daemon.logs import set_up_logging
from ci_gate.job_servers import Address, TlsError, TlsFiles, addresses
from ci_gate.worker.build import Place, scopes_work
from ci_gate.worker.command import CommandError, job_command
from ci_gate.worker.logs import LogServer
from ci_gate.worker.serving import LOG_NAME, CommandWorker, WorkerSettings

STOPPED, REFUSED = 0, 1
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

log = structlog.stdlib.get_logger("ci_gate.Worker")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", "-c", metavar="FILE", help="the configuration file")
    parser.add_argument("--server", metavar="HOST[:PORT]", help="the Gearman server, in place of the configuration's")
    parser.add_argument("--ssl-key", type=Path, metavar="FILE", help="key of --ssl-cert")
    parser.add_argument("--ssl-cert", type=Path, metavar="FILE", help="certificate for a --server that wants TLS")
    parser.add_argument("--ssl-ca", type=Path, metavar="FILE", help="authorities of the server's certificate")
    parser.add_argument(
        "--job",
        metavar="NAME=COMMAND",
        action="append",
        required=True,
        help="a job, run by /bin/sh; may be given again",
    )
    parser.add_argument("--name", default=socket.gethostname(), help="what this worker is called")
    parser.add_argument("--slots", type=int, default=1, metavar="N", help="builds at a time")
    parser.add_argument("--timeout", type=_seconds, default=3600.0, metavar="TIME", help="of a build, as in 30m")
    parser.add_argument("--folder", type=Path, default=Path("worker"), help="where workspaces and logs are")
    parser.add_argument("--log-port", type=int, default=0, metavar="PORT", help="serve the logs there; 0: any port")
    parser.add_argument("--log-address", default="", metavar="HOST", help="and at this address alone")
    parser.add_argument("--log-url", metavar="URL", help="where the logs are found, if something stands in between")
    parser.add_argument("--user", metavar="USER", help="run commands as this user; only root can")


def run(arguments: argparse.Namespace) -> int:
    """Exit status 0 after a clean stop, 1 if it could not start."""
    set_up_logging(None)
    try:
        jobs = [job_command(each) for each in arguments.job]
        servers = _servers(arguments)
    except RefusedError as refused:
        for each in refused.problems:
            print(each, file=sys.stderr)
        return REFUSED
    except (CommandError, TlsError) as problem:
        return _refuse(str(problem))
    if NAME.fullmatch(arguments.name) is None:
        return _refuse(f'--name "{arguments.name}": letters, digits, ".", "_" and "-" make a name')
    if arguments.slots < 1:
        return _refuse("--slots: at least one build has to run at a time")
    if arguments.user and os.geteuid() != 0:
        return _refuse("--user: only root can run commands as somebody else")
    if os.geteuid() == 0 and not arguments.user:
        log.warning("commands of anybody's changes will run as root; start this as another user, or give --user")
    folder = arguments.folder.absolute()
    try:
        for each in (folder / "workspaces", folder / "logs"):
            each.mkdir(parents=True, exist_ok=True)
        place = Place(
            folder / "workspaces", arguments.timeout, arguments.user, scopes=not arguments.user and scopes_work()
        )
        asyncio.run(
            _serve(
                arguments, WorkerSettings(arguments.name, jobs, arguments.slots, folder / "logs", "", place), servers
            )
        )
    except OSError as problem:
        return _refuse(f"{problem.filename or 'the logs'}: {problem.strerror}")
    return STOPPED


async def _serve(arguments: argparse.Namespace, settings: WorkerSettings, servers: Sequence[Address]) -> None:
    logs = LogServer(settings.logs, LOG_NAME)
    await logs.start(arguments.log_address, arguments.log_port)
    url = arguments.log_url or f"http://{arguments.log_address or socket.getfqdn()}:{logs.port}"
    worker = CommandWorker(
        WorkerSettings(
            settings.name, settings.jobs, settings.slots, settings.logs, f"{url.rstrip('/')}/", settings.place
        ),
        servers,
    )
    task = asyncio.create_task(worker.run())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    log.info("working", jobs=" ".join(each.name for each in settings.jobs), logs=url, scopes=settings.place.scopes)
    await asyncio.gather(task, return_exceptions=True)
    await logs.stop()


def _servers(arguments: argparse.Namespace) -> Sequence[Address]:
    """Raises RefusedError and TlsError."""
    given = [arguments.ssl_key, arguments.ssl_cert, arguments.ssl_ca]
    if any(given) and not (all(given) and arguments.server):
        raise TlsError("--server, --ssl-key, --ssl-cert and --ssl-ca have to be given together")
    if arguments.server:
        host, _, port = arguments.server.rpartition(":") if ":" in arguments.server else (arguments.server, "", "")
        files = (
            TlsFiles(arguments.ssl_key, arguments.ssl_cert, arguments.ssl_ca, "ci-gate worker") if all(given) else None
        )
        return addresses([(host, int(port) if port.isdecimal() else 4730)], files)
    gearman, _ = read_gearman_settings(find_settings_file(arguments.config))
    return addresses(gearman.servers, gearman.tls)


def _seconds(text: str) -> float:
    found = re.fullmatch(r"([0-9]+)([smhd]?)", text)
    if found is None or int(found[1]) == 0:
        raise argparse.ArgumentTypeError(f'"{text}" is not a time; write a whole number and s, m, h or d, as in 30m')
    return float(int(found[1]) * UNITS[found[2] or "s"])


def _refuse(reason: str) -> int:
    print(f"ci-gate: cannot start: {reason}", file=sys.stderr)
    return REFUSED
