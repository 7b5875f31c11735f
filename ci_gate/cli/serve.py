"""``ci-gate serve``: the service, in the foreground, until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import structlog
from sqlalchemy.exc import SQLAlchemyError

from ci_gate import __version__
from ci_gate.cli.problems import print_reasons
from ci_gate.config.layout import LoadedLayout
from ci_gate.config.problems import Level, Problem, RefusedError
from ci_gate.config.read_settings import error_at, find_settings_file, read_settings
from ci_gate.config.settings import Settings
from ci_gate.daemon.beginning import address_of, begin, is_damage
from ci_gate.daemon.leadership import candidate
from ci_gate.daemon.loading import load_for_service
from ci_gate.daemon.lock import LockedError, lock
from ci_gate.daemon.logs import LogConfigError, set_up_logging
from ci_gate.daemon.recovery import JournalDamagedError
from ci_gate.daemon.refusals import refusals
from ci_gate.daemon.service import Service
from ci_gate.daemon.shadowing import as_shadow, mark
from ci_gate.daemon.stacks import dump_stacks
from ci_gate.daemon.standing_by import Standby, Turn
from ci_gate.daemon.starting import StartError
from ci_gate.sql.address import BadAddressError, without_secrets
from ci_gate.store.journal import DeposedError
from ci_gate.store.migrate import SchemaError

STOPPED, REFUSED = 0, 1

log = structlog.stdlib.get_logger("zuul.Server")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", "-c", metavar="FILE", help="the configuration file")
    parser.add_argument("--layout", "-l", metavar="FILE", help="this layout in place of [zuul] layout_config")
    parser.add_argument("--shadow", action="store_true", help="decide beside a live system, and never act")
    parser.add_argument(
        "-d", action="store_true", help="accepted and ignored: the service always stays in the foreground"
    )


def run(arguments: argparse.Namespace) -> int:
    """Exit status 0 after a clean stop, 1 if it could not start, or if another service leads now."""
    try:
        settings, problems = read_settings(find_settings_file(arguments.config), layout=arguments.layout)
        if arguments.shadow or settings.scheduler.shadow:
            settings = as_shadow(settings)
        loaded = _prepared(settings)
    except RefusedError as refused:
        return _refuse(refused.problems)
    why_not = refusals(settings, loaded.layout)
    if why_not:
        return _refuse(why_not)
    _tell((*problems, *loaded.problems))
    mark(settings)
    try:
        asyncio.run(_serve(settings, loaded, Path(arguments.layout) if arguments.layout else None))
    except StartError as problem:
        return _refuse([str(problem)])
    except DeposedError as problem:
        print(f"ci-gate: ends: {problem}", file=sys.stderr)
        return REFUSED
    return STOPPED


def _prepared(settings: Settings) -> LoadedLayout:
    """With logs set up. Raises RefusedError for all that is wrong with either."""
    problems: list[Problem] = []
    try:
        set_up_logging(settings.log_config)
    except LogConfigError as problem:
        problems.append(error_at(settings.path, "zuul", "log_config", str(problem)))
    try:
        loaded = load_for_service(settings)
    except RefusedError as refused:
        raise RefusedError([*problems, *refused.problems]) from refused
    if problems:
        raise RefusedError(problems)
    return loaded


def _refuse(reasons: Iterable[Problem | str]) -> int:
    print_reasons(reasons)
    return REFUSED


def _tell(problems: Iterable[Problem]) -> None:
    for each in problems:
        if each.level is Level.WARNING:
            log.warning(each.text, at=each.location)
        elif each.level is Level.NOTICE:
            log.info(each.text, at=each.location)


class _Addressee:
    """Whoever signals are for: this service while it stands by, and then while it serves."""

    def __init__(self, first: Standby) -> None:
        self.now: Standby | Service = first

    def listen(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop, "SIGTERM")
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        loop.add_signal_handler(signal.SIGUSR1, self._drain, "SIGUSR1")
        loop.add_signal_handler(signal.SIGUSR2, dump_stacks)
        loop.add_signal_handler(signal.SIGHUP, self._reload)

    def take_over(self, service: Service) -> None:
        """A signal that came in between is for this one."""
        stopped = isinstance(self.now, Standby) and self.now.is_stopping
        self.now = service
        if stopped:
            service.stop()

    def _reload(self) -> None:
        self.now.reload()

    def _stop(self, name: str) -> None:
        log.info("stopping", signal=name)
        self.now.stop()

    def _drain(self, name: str) -> None:
        log.info("stopping when what runs has ended; SIGTERM stops at once", signal=name)
        self.now.drain()

    def _interrupt(self) -> None:
        """The first time gently; whoever presses again does not want to wait."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self._stop, "SIGINT")
        log.info("press Ctrl-C again to stop at once")
        self._drain("SIGINT")


async def _serve(settings: Settings, loaded: LoadedLayout, given_layout: Path | None) -> None:
    held, address = _claim(settings)
    with held:
        who = candidate(settings.state_dir, f"port {settings.web.port}", held.fileno())
        standby = Standby(settings, who, address)
        addressee = _Addressee(standby)
        addressee.listen()
        log.info("starting", version=__version__, config=settings.path, layout=settings.layout_config)
        with _told(address):
            turn = await standby.run()
        if turn is None:
            log.info("stopped")
            return
        try:
            await _lead(settings, loaded, given_layout, turn, addressee)
        finally:
            await turn.close()
        if turn.lead.lost:
            raise DeposedError(f"another service leads now ({turn.lead.lost}); start this one again to stand by")
        log.info("stopped")


async def _lead(
    settings: Settings, loaded: LoadedLayout, given_layout: Path | None, turn: Turn, addressee: _Addressee
) -> None:
    """Serve until the end."""
    if turn.follower is not None:
        loaded = await asyncio.to_thread(_as_it_is_now, settings, loaded)
    with _told(address_of(settings)):
        beginning = await asyncio.to_thread(begin, settings, loaded, turn)
    try:
        service = Service(settings, loaded, beginning, given_layout=given_layout)
        addressee.take_over(service)
        url = f"http://{settings.web.listen_address}:{settings.web.port}/"
        await service.run(lambda: log.info("serving", url=url))
    except SQLAlchemyError as problem:
        raise StartError(_without_secrets("the journal cannot be read", problem, address_of(settings))) from problem
    finally:
        beginning.journal.close()


def _as_it_is_now(settings: Settings, loaded: LoadedLayout) -> LoadedLayout:
    """The layout, which may have changed since this service began to stand by."""
    try:
        return load_for_service(settings)
    except RefusedError as refused:
        log.warning("the layout cannot be read now; what it was at the start counts", reason=str(refused.problems[0]))
        return loaded


def _claim(settings: Settings) -> tuple[IO[str], str]:
    """The folder, and the address of the journal. Raises StartError."""
    try:
        return lock(settings.state_dir), address_of(settings)
    except (LockedError, BadAddressError, OSError) as problem:
        raise StartError(str(problem)) from problem


@contextmanager
def _told(address: str) -> Iterator[None]:
    """What goes wrong with the journal keeps the service from starting. Raises StartError."""
    try:
        yield
    except (StartError, JournalDamagedError, SchemaError) as problem:
        raise StartError(str(problem)) from problem
    except Exception as problem:
        raise StartError(_without_secrets("the journal cannot be opened", problem, address)) from problem


def _without_secrets(what: str, problem: Exception, address: str) -> str:
    reason = without_secrets(str(problem).splitlines()[0], address)
    return f"{what}: {reason}" + ("; ci-gate rescue keeps what can be read of it" if is_damage(problem) else "")
