"""The process of the built-in Gearman server: ``python -m ci_gate.gearman.server``.

``server_process.py`` starts it as a child of the daemon; ``ci-gate gearman`` is the same in a unit of its own. What it
serves is in ``job_server.py``.
"""

from __future__ import annotations

import argparse
import logging
import logging.config
import os
import resource
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from ci_gate.config.log_file import read_log_file
from ci_gate.config.settings import GearmanServerSettings
from ci_gate.gearman.job_server import JobServer
from ci_gate.job_servers import TlsError, TlsFiles, server_context
from ci_gate.statsd import StatsdLines, StatsdPortError

METRICS = "zuul.geard"
SECTION = "gearman_server"


class LogConfigError(Exception):
    """``[gearman_server] log_config`` cannot be used."""


class StartError(Exception):
    """It cannot serve; the text says why, for the operator."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM, or until standard input closes if asked to watch it. 1: could not start.

    The first line on standard output is ``listening PORT`` or ``error: TEXT``.
    """
    parser = argparse.ArgumentParser(prog="ci-gate gearman", description="The built-in Gearman server.")
    parser.add_argument("--listen-address", default="", help="default: all addresses")
    parser.add_argument("--port", type=int, default=4730)
    parser.add_argument("--log-config", type=Path, help="INI file for Python's logging.config")
    for name in ("key", "cert", "ca"):
        parser.add_argument(f"--ssl-{name}", type=Path, metavar="FILE")
    parser.add_argument("--until-stdin-closes", action="store_true", help="end when the parent process does")
    options = parser.parse_args(arguments)
    tls = TlsFiles(options.ssl_key, options.ssl_cert, options.ssl_ca, SECTION) if options.ssl_key else None
    settings = GearmanServerSettings(listen_address=options.listen_address, log_config=options.log_config, tls=tls)
    try:
        serve(settings, options.port, until_stdin_closes=options.until_stdin_closes)
    except StartError as error:
        print(f"error: {error}", flush=True)  # noqa: T201 - the parent reads it
        return 1
    return 0


def serve(settings: GearmanServerSettings, port: int, *, until_stdin_closes: bool = False) -> None:
    """Until SIGTERM. Says ``listening PORT`` on standard output once it does. Raises StartError."""
    where = f"{settings.listen_address or 'all addresses'}, port {port}"
    try:
        _set_up_logging(settings.log_config)
        statsd = StatsdLines.from_environment(os.environ, METRICS)
        tls = server_context(settings.tls) if settings.tls else None
        _allow_many_connections()
        server = JobServer(settings.listen_address, port, statsd, tls)
    except (LogConfigError, StatsdPortError, TlsError) as error:
        raise StartError(str(error)) from error
    except OSError as error:
        raise StartError(f"the Gearman server cannot listen on {where}: {error.strerror or error}") from error
    _say(f"listening {server.port}")
    _wait_for_the_end(until_stdin_closes)
    server.shutdown()


def _say(line: str) -> None:
    """To the parent, which may have been killed meanwhile: then its pipes are closed, and this process ends too."""
    try:
        print(line, flush=True)  # noqa: T201 - the parent reads it
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _set_up_logging(log_config: Path | None) -> None:
    if log_config is None:
        line = "%(asctime)s %(levelname)s %(name)s: %(message)s"
        # gear tells of every connection at INFO.
        logging.basicConfig(level=logging.WARNING, format=line, stream=sys.stderr)
        return
    path = log_config.expanduser()
    if not path.is_file():
        raise LogConfigError(f"[gearman_server] log_config: {path} does not exist")
    try:
        logging.config.fileConfig(read_log_file(path))
    except Exception as error:  # it holds Python expressions of the operator's
        raise LogConfigError(f"[gearman_server] log_config: {path}: {error!r}") from error


def _allow_many_connections() -> None:
    """Two hundred Jenkins nodes are a thousand connections: take as many as the system allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _wait_for_the_end(watch_stdin: bool) -> None:
    end = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: end.set())
    if watch_stdin:
        # Ctrl-C in the parent's terminal reaches this process too; the parent ends it when it is done with it.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        threading.Thread(target=_read_to_the_end, args=(end,), daemon=True).start()
    else:
        signal.signal(signal.SIGINT, lambda *_: end.set())
    end.wait()


def _read_to_the_end(end: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    end.set()


if __name__ == "__main__":
    sys.exit(main())
