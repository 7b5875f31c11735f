"""Checks of what else the service talks to: databases, mail servers, statsd."""

from __future__ import annotations

import asyncio
import smtplib
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from urllib.parse import quote

from ci_gate.config.settings import SmtpSettings, SqlSettings
from ci_gate.doctor.check import Finding, Step, good, wrong
from ci_gate.doctor.site import Site
from ci_gate.statsd import StatsdPortError, port_of
from ci_gate.store.journal import FILE

GROUP = "Databases and mail"
ANSWER_S = 6.0


def steps(site: Site) -> Iterator[Step]:
    settings = site.settings
    yield Step(GROUP, "journal", lambda: asyncio.to_thread(_journal, settings.database.dburi, settings.state_dir))
    for each in settings.connections.values():
        match each:
            case SqlSettings():
                yield Step(GROUP, f"database {each.name}", partial(asyncio.to_thread, _results, each))
            case SmtpSettings():
                yield Step(GROUP, f"mail {each.name}", partial(asyncio.to_thread, _mail, each))
    if site.variables.get("STATSD_HOST"):
        yield Step(GROUP, "statsd", lambda: _statsd(site.variables))


def _journal(dburi: str | None, state_dir: Path) -> Finding:
    if dburi is not None:
        return _database(dburi, "[database] dburi")
    path = state_dir / FILE
    try:
        path.stat()
    except FileNotFoundError:
        return good(f"{path} will be made at the first start")
    except OSError as problem:
        return wrong(f"{path} cannot be looked at: {problem.strerror}", "run this as the service's user")
    # Where nobody writes, nothing is left beside the file either.
    how = "mode=ro" if Path(f"{path}-wal").exists() else "immutable=1"
    try:
        connection = sqlite3.connect(f"file:{quote(str(path))}?{how}", uri=True, timeout=ANSWER_S)
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        finally:
            connection.close()
    except sqlite3.Error as problem:
        return wrong(
            f"{path} cannot be read: {problem}",
            "is it this user's? If it is damaged, move it away: the service then begins with empty queues",
        )
    return good(str(path))


def _results(settings: SqlSettings) -> Finding:
    return _database(settings.dburi, f"[connection {settings.name}] dburi")


def _database(dburi: str, setting: str) -> Finding:
    """Connects and asks for nothing. A file of SQLite's that is missing would be made by that, so it is looked for."""
    from sqlalchemy import text  # noqa: PLC0415  # a third of a second that few sites need
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415  # as above

    from ci_gate.sql.address import BadAddressError, engine_for, without_secrets  # noqa: PLC0415  # as above

    try:
        engine = engine_for(dburi)
        file = engine.url.database
        if engine.dialect.name == "sqlite" and (not file or not Path(file).exists()):
            return good(f"{file} will be made")
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    except (BadAddressError, SQLAlchemyError, OSError) as problem:
        said = str(getattr(problem, "orig", None) or problem)
        reason = without_secrets(" ".join(said.split()), dburi)
        return wrong(f"the database cannot be used: {reason}", f"correct {setting}, or let the database let us in")
    return good(engine.url.render_as_string(hide_password=True))


def _mail(settings: SmtpSettings) -> Finding:
    address = f"{settings.server}:{settings.port}"
    try:
        server = smtplib.SMTP(settings.server, settings.port, timeout=ANSWER_S)
        server.noop()
    except (smtplib.SMTPException, OSError) as problem:
        return wrong(
            f"the mail server {address} does not greet us: {problem}",
            f"correct server and port of [{_section(settings)}]",
        )
    with suppress(smtplib.SMTPException, OSError):
        server.quit()
    server.close()
    return good(address)


def _section(settings: SmtpSettings) -> str:
    return settings.name if settings.name == "smtp" else f"connection {settings.name}"


async def _statsd(variables: Mapping[str, str]) -> Finding:
    host = variables["STATSD_HOST"]
    try:
        port = port_of(variables)
        await asyncio.get_running_loop().getaddrinfo(host, port)
    except StatsdPortError as problem:
        what, _, advice = str(problem).partition("; ")
        return wrong(what, advice)
    except (OSError, UnicodeError) as problem:
        return wrong(f"STATSD_HOST {host} is not known: {problem}", "set STATSD_HOST to the host of the statsd server")
    return good(f"{host}:{port}; it answers nobody, so whether it takes metrics is not seen")
