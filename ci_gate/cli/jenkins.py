"""``ci-gate jenkins``: the bridge to Jenkinses without the Gearman plugin, in the foreground, until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys

import structlog

from ci_gate import __version__
from ci_gate.config.problems import Level, RefusedError
from ci_gate.config.read_settings import error_at, find_settings_file, read_bridge_settings
from ci_gate.config.settings import BridgeSettings
from ci_gate.daemon.logs import LogConfigError, set_up_logging
from ci_gate.jenkins.bridge import Bridge
from ci_gate.jenkins.secrets import TokenError, token_of
from ci_gate.job_servers import TlsError, addresses

STOPPED, REFUSED = 0, 1

log = structlog.stdlib.get_logger("ci_gate.Jenkins")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", "-c", metavar="FILE", help="the configuration file")
    parser.add_argument("--only", metavar="NAME", action="append", help="this [jenkins NAME] section alone")
    parser.add_argument(
        "--declare-parameters",
        action="store_true",
        help="add the gate's parameters to the configuration of jobs that do not declare them",
    )


def run(arguments: argparse.Namespace) -> int:
    """Exit status 0 after a clean stop, 1 if it could not start."""
    try:
        path = find_settings_file(arguments.config)
        settings, problems = read_bridge_settings(path)
    except RefusedError as refused:
        for each in refused.problems:
            print(each, file=sys.stderr)
        return REFUSED
    try:
        set_up_logging(settings.log_config)
    except LogConfigError as problem:
        print(error_at(path, "zuul", "log_config", str(problem)), file=sys.stderr)
        return REFUSED
    for each in problems:
        if each.level is Level.WARNING:
            log.warning(each.text, at=each.location)
    names = [each.name for each in settings.jenkins]
    unknown = [name for name in arguments.only or () if name not in names]
    if unknown:
        return _refuse(f"there is no [jenkins {unknown[0]}] section; there is {', '.join(names)}")
    chosen = [each for each in settings.jenkins if not arguments.only or each.name in arguments.only]
    try:
        for section in chosen:
            token_of(section)
        addresses(settings.gearman.servers, settings.gearman.tls)
    except (TokenError, TlsError) as problem:
        return _refuse(str(problem))
    bridges = BridgeSettings(settings.gearman, tuple(chosen))
    asyncio.run(_serve(bridges, declare=arguments.declare_parameters))
    return STOPPED


def _refuse(reason: str) -> int:
    print(f"ci-gate: cannot start: {reason}", file=sys.stderr)
    return REFUSED


async def _serve(settings: BridgeSettings, *, declare: bool) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    log.info("starting", version=__version__, jenkins=" ".join(each.name for each in settings.jenkins))
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(Bridge(each, settings.gearman, declare=declare).run(), name=f"jenkins {each.name}")
            for each in settings.jenkins
        ]
        await stopped.wait()
        for task in tasks:
            task.cancel()
    log.info("stopped; builds go on, and are found again")
