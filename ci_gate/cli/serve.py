"""``ci-gate serve``: the service, in the foreground, until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import structlog
from sqlalchemy.exc import SQLAlchemyError

from ci_gate import __version__
from ci_gate.config.layout import LoadedLayout
from ci_gate.config.problems import Level, Problem, RefusedError
from ci_gate.config.read_settings import find_settings_file, read_settings
from ci_gate.config.settings import Settings
from ci_gate.daemon.beginning import Beginning, address_of, begin, is_damage
from ci_gate.daemon.loading import load_for_service
from ci_gate.daemon.lock import LockedError
from ci_gate.daemon.logs import LogConfigError, set_up_logging
from ci_gate.daemon.recovery import JournalDamagedError
from ci_gate.daemon.refusals import refusals
from ci_gate.daemon.service import Service
from ci_gate.daemon.stacks import dump_stacks
from ci_gate.daemon.starting import StartError
from ci_gate.sql.address import without_secrets
from ci_gate.store.migrate import SchemaError

STOPPED, REFUSED = 0, 1

log = structlog.stdlib.get_logger("zuul.Server")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", "-c", metavar="FILE", help="the configuration file")
    parser.add_argument("--layout", "-l", metavar="FILE", help="this layout in place of [zuul] layout_config")
    parser.add_argument(
        "-d", action="store_true", help="accepted and ignored: the service always stays in the foreground"
    )


def run(arguments: argparse.Namespace) -> int:
    """Exit status 0 after a clean stop, 1 if it could not start."""
    try:
        settings, problems = read_settings(find_settings_file(arguments.config))
        if arguments.layout:
            settings = replace(settings, layout_config=Path(arguments.layout))
        set_up_logging(settings.log_config)
        loaded = load_for_service(settings)
    except RefusedError as refused:
        for each in refused.problems:
            if each.level is not Level.NOTE:
                print(each, file=sys.stderr)
        return REFUSED
    except LogConfigError as problem:
        return _refuse([str(problem)])
    why_not = refusals(settings, loaded.layout)
    if why_not:
        return _refuse(why_not)
    _tell((*problems, *loaded.problems))
    try:
        asyncio.run(_serve(settings, loaded, Path(arguments.layout) if arguments.layout else None))
    except StartError as problem:
        return _refuse([str(problem)])
    return STOPPED


def _refuse(reasons: Iterable[str]) -> int:
    for reason in reasons:
        print(f"ci-gate: cannot start: {reason}", file=sys.stderr)
    return REFUSED


def _tell(problems: Iterable[Problem]) -> None:
    for each in problems:
        if each.level is Level.WARNING:
            log.warning(each.text, at=each.location)
        elif each.level is Level.NOTICE:
            log.info(each.text, at=each.location)


async def _serve(settings: Settings, loaded: LoadedLayout, given_layout: Path | None) -> None:
    beginning = await _begin(settings, loaded)
    service = Service(settings, loaded, beginning, given_layout=given_layout)
    loop = asyncio.get_running_loop()

    def stop(name: str) -> None:
        log.info("stopping", signal=name)
        service.stop()

    def drain(name: str) -> None:
        log.info("stopping when what runs has ended; SIGTERM stops at once", signal=name)
        service.drain()

    def interrupt() -> None:
        """The first time gently; whoever presses again does not want to wait."""
        loop.add_signal_handler(signal.SIGINT, stop, "SIGINT")
        log.info("press Ctrl-C again to stop at once")
        drain("SIGINT")

    loop.add_signal_handler(signal.SIGTERM, stop, "SIGTERM")
    loop.add_signal_handler(signal.SIGINT, interrupt)
    loop.add_signal_handler(signal.SIGUSR1, drain, "SIGUSR1")
    loop.add_signal_handler(signal.SIGUSR2, dump_stacks)
    loop.add_signal_handler(signal.SIGHUP, service.reload)
    log.info("starting", version=__version__, config=settings.path, layout=settings.layout_config)
    try:
        await service.run(lambda: log.info("serving", url=f"http://{settings.web.listen_address}:{settings.web.port}/"))
    except SQLAlchemyError as problem:
        raise StartError(_without_secrets("the journal cannot be read", problem, settings)) from problem
    finally:
        beginning.close()
    log.info("stopped")


async def _begin(settings: Settings, loaded: LoadedLayout) -> Beginning:
    try:
        return await asyncio.to_thread(begin, settings, loaded)
    except (LockedError, JournalDamagedError, SchemaError) as problem:
        raise StartError(str(problem)) from problem
    except Exception as problem:
        raise StartError(_without_secrets("the journal cannot be opened", problem, settings)) from problem


def _without_secrets(what: str, problem: Exception, settings: Settings) -> str:
    reason = without_secrets(str(problem).splitlines()[0], address_of(settings))
    return f"{what}: {reason}" + ("; ci-gate rescue keeps what can be read of it" if is_damage(problem) else "")
