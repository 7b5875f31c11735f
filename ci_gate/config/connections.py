"""Connections of ci.conf: ``[connection NAME]``, and the old sections ``[gerrit]`` and ``[smtp]`` (ci-conf.md 7)."""

from __future__ import annotations

import re
from pathlib import Path

from ci_gate.config.ini import Ini, Section
from ci_gate.config.nearest import nearest
from ci_gate.config.settings import SSH, WEBHOOKS, Connection, GerritSettings, SmtpSettings, SqlSettings
from ci_gate.config.settings_schema import DRIVERS, GERRIT
from ci_gate.config.values import FALSE, Reader

NEW_FORM = re.compile(r"connection (?P<name>.*)", re.IGNORECASE | re.DOTALL)
OLD_FORM = ("gerrit", "smtp")
BUILT_IN = ("timer", "zuul")
SAFE_FOR_PASSWORDS = re.compile(r"https://|http://(localhost|127\.[0-9.]+|\[::1\])([:/]|$)", re.IGNORECASE)
SHORTEST_STREAM_TIMEOUT_S = 120
SHORTEST_SECRET = 16  # characters
DATABASE = re.compile(
    r"\w[\w+]*://(?:[^:/]*(?::[^@]*)?@)?"  # driver, user and password
    r"(?:\[[^/?]+\]|[^/:?]*)(?::\d*)?(?:[/?]|$)"  # host and port
)
DATABASE_EXAMPLE = "mysql+pymysql://USER:PASSWORD@HOST/DATABASE"


def read_connections(ini: Ini, reader: Reader, state_dir: Path) -> dict[str, Connection]:
    """By name, in the order of the file. Problems go to the reader."""
    connections: dict[str, Connection] = {}
    for section in ini.sections.values():
        named = NEW_FORM.fullmatch(section.name)
        if named is None:
            continue
        name = _unquoted(named["name"])
        driver = _driver(reader, section, name)
        if driver is not None:
            connections[name] = _read(reader, section, name, driver, state_dir)
    for name in OLD_FORM:
        old = ini.sections.get(name)
        if old is not None and name in connections:
            reader.notice(old.line, f"[{name}]: ignored, since [connection {name}] is there")
        elif old is not None:
            connections[name] = _read(reader, old, name, name, state_dir)
    return connections


def section_of(ini: Ini, name: str) -> str:
    """The section of a connection: of the new form if there is one, else of the old."""
    found = (each for each in ini.sections if (new := NEW_FORM.fullmatch(each)) and _unquoted(new["name"]) == name)
    return next(found, name)


def _unquoted(name: str) -> str:
    return name[1:-1] if len(name) >= 2 and name[0] == name[-1] and name[0] in "\"'" else name


def _driver(reader: Reader, section: Section, name: str) -> str | None:
    if not name:
        reader.error(section.line, "[connection ]: a connection needs a name")
        return None
    if name in BUILT_IN:
        reader.error(section.line, f"[{section.name}]: {name} is the name of a built-in trigger; choose another")
        return None
    driver = reader.text(section.name, "driver")
    if driver in DRIVERS:
        return driver
    known = f"known drivers: {', '.join(DRIVERS)}"
    if driver is None:
        reader.error(section.line, f"[{section.name}]: driver is missing; {known}")
    else:
        meant = nearest(driver, DRIVERS)
        hint = f"did you mean {meant}? " if meant else ""
        line = reader.line(section.name, "driver")
        reader.error(line, f'[{section.name}]: unknown driver "{driver}"; {hint}{known}')
    return None


def _read(reader: Reader, section: Section, name: str, driver: str, state_dir: Path) -> Connection:
    if driver == "gerrit":
        return _gerrit(reader, section, name, state_dir)
    if driver == "smtp":
        return SmtpSettings(
            name,
            server=reader.text(section.name, "server") or "localhost",
            port=reader.integer(section.name, "port", 25, keys="smtp"),
            default_from=reader.text(section.name, "default_from") or "zuul",
            default_to=reader.text(section.name, "default_to") or "zuul",
        )
    return _sql(reader, section, name)


def _sql(reader: Reader, section: Section, name: str) -> SqlSettings:
    """The address is not shown: it may hold a password."""
    dburi = _required(reader, section, "dburi", f"set it to the database's address, such as {DATABASE_EXAMPLE}")
    if dburi and not DATABASE.match(dburi):
        said = f"[{section.name}] dburi: not an address as SQLAlchemy writes it, such as {DATABASE_EXAMPLE}"
        reader.error(reader.line(section.name, "dburi"), said)
    return SqlSettings(name, dburi)


def _gerrit(reader: Reader, section: Section, name: str, state_dir: Path) -> GerritSettings:
    place = section.name

    def integer(key: str, default: int) -> int:
        return reader.integer(place, key, default, keys="gerrit")

    server = _required(reader, section, "server", "set it to the host of Gerrit's SSH server")
    user = _required(reader, section, "user", "set it to the CI account's user name in Gerrit")
    keepalive = integer("keepalive", 60)
    baseurl = (reader.text(place, "baseurl") or f"https://{server}").rstrip("/")
    if reader.text(place, "password") and not SAFE_FOR_PASSWORDS.match(baseurl):
        said = f"[{place}] password: it would travel in the clear; use an https:// baseurl (or one on this host)"
        reader.error(reader.line(place, "password"), said)
    reconcile_interval = integer("reconcile_interval", 300)
    stream = reader.choice(place, "stream", SSH, GERRIT["stream"].choices)
    _check_webhooks(reader, section, stream, looks=reconcile_interval > 0)
    return GerritSettings(
        name=name,
        server=server,
        user=user,
        port=integer("port", 29418),
        sshkey=reader.path(place, "sshkey"),
        baseurl=baseurl,
        keepalive_s=keepalive,
        strip_branch_ref=_strip_branch_ref(reader, place),
        password=reader.text(place, "password"),
        http_user=reader.text(place, "http_user"),
        known_hosts=reader.path(place, "known_hosts"),
        accepted_hosts=state_dir / "known_hosts",
        host_key_check=reader.choice(place, "host_key_check", "accept-new", GERRIT["host_key_check"].choices),
        event_delay_s=integer("event_delay", 10),
        stream_timeout_s=integer("stream_timeout", max(3 * keepalive, SHORTEST_STREAM_TIMEOUT_S)),
        max_ssh_channels=integer("max_ssh_channels", 4),
        reconcile_interval_s=reconcile_interval,
        commands_per_minute=integer("commands_per_minute", 600),
        stream=stream,
        webhook_secret=reader.text(place, "webhook_secret"),
        status_url=reader.text("zuul", "status_url") or "",
    )


def _check_webhooks(reader: Reader, section: Section, stream: str, *, looks: bool) -> None:
    """Whoever may post events may start jobs and have changes submitted."""
    secret, place = reader.text(section.name, "webhook_secret"), section.name
    if stream != WEBHOOKS:
        if secret is not None:
            reader.notice(
                reader.line(place, "webhook_secret"), f"[{place}] webhook_secret: unused without stream=webhooks"
            )
        return
    if secret is None:
        said = f"[{place}] webhook_secret is missing: set it to a secret that Gerrit's posts have to know"
        reader.error(reader.line(place, "stream"), said)
    elif len(secret) < SHORTEST_SECRET:
        said = f"[{place}] webhook_secret: it can be guessed; use {SHORTEST_SECRET} characters or more"
        reader.error(reader.line(place, "webhook_secret"), said)
    if not looks:
        said = f"[{place}] reconcile_interval: without looks, posts that are lost are not found until the next one"
        reader.notice(reader.line(place, "reconcile_interval"), said)


def _strip_branch_ref(reader: Reader, place: str) -> bool:
    """Zuul 2.6 took any text as on, ``false`` too: whoever wrote that should hear that it is off now."""
    text = reader.text(place, "strip_branch_ref")
    if text is None:
        return False
    if text.lower() in FALSE:
        said = f"[{place}] strip_branch_ref: off; Zuul 2.6 would have treated this as on"
        reader.notice(reader.line(place, "strip_branch_ref"), said)
    return reader.boolean(place, "strip_branch_ref", default=False)


def _required(reader: Reader, section: Section, key: str, advice: str) -> str:
    text = reader.text(section.name, key)
    if text is None:
        reader.error(section.line, f"[{section.name}] {key} is missing: {advice}")
    return text or ""
