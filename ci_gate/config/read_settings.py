"""ci.conf or zuul.conf to ``Settings``, with all its problems at once (``spec/ci-conf.md``)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from ci_gate.config import settings_schema as schema
from ci_gate.config.connections import OLD_FORM, read_connections, section_of
from ci_gate.config.gearman_sections import read_gearman, read_gearman_server
from ci_gate.config.ini import Ini, parse
from ci_gate.config.jenkins_sections import read_jenkins_sections
from ci_gate.config.nearest import nearest
from ci_gate.config.problems import Level, Problem, RefusedError, has_errors
from ci_gate.config.report_patterns import IN_REPORTS, why_never
from ci_gate.config.settings import (
    BridgeSettings,
    DatabaseSettings,
    GearmanServerSettings,
    GearmanSettings,
    GerritSettings,
    MergerSettings,
    SchedulerSettings,
    Settings,
    ShadowSettings,
    WebSettings,
)
from ci_gate.config.values import Reader

PLACES = (Path("/etc/ci-gate/ci.conf"), Path("/etc/zuul/zuul.conf"), Path("~/zuul.conf"))


def find_settings_file(given: str | None) -> Path:
    """The file that was named, else the first that exists. Raises RefusedError."""
    if given is not None:
        path = _expanded(Path(given))
        try:
            why_not = "" if path.is_file() else "there is no such configuration file"
        except OSError as problem:
            why_not = f"cannot be read: {problem.strerror}"
        if why_not:
            raise RefusedError([Problem(str(path), 0, 0, Level.ERROR, why_not)])
        return path
    tried = [_expanded(place) for place in PLACES]
    found = next(filter(_is_there, tried), None)
    if found is None:
        text = f"no configuration file; tried {', '.join(map(str, tried))}; name one with --config FILE"
        raise RefusedError([Problem("ci-gate", 0, 0, Level.ERROR, text)])
    return found


def _is_there(path: Path) -> bool:
    """What this user may not even look at is not, as for Zuul."""
    try:
        return path.is_file()
    except OSError:
        return False


def _expanded(path: Path) -> Path:
    """As it stands where no such user has a home."""
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def read_settings(
    path: Path, *, for_merger: bool = False, layout: str | Path | None = None
) -> tuple[Settings, tuple[Problem, ...]]:
    """The settings, and what is to be told about the file. Raises RefusedError with every problem of it.

    ``for_merger``: of a process that only merges. It needs neither layout nor connections, but an address.
    ``layout`` was named on the command line: it stands for ``[zuul] layout_config``, which may then be missing.
    """
    ini = _parsed(path)
    reader = Reader(ini, str(path))
    settings = _settings(path, ini, reader, for_merger=for_merger, layout=layout)
    _check_names(ini, reader)
    return settings, _refused_or_told(ini, reader)


def read_state_settings(path: Path) -> Settings:
    """Only where the service keeps its things, with defaults for all else: commands to it and about its record need no
    more (ci-conf.md 3). Raises RefusedError."""
    ini = _parsed(path)
    reader = Reader(ini, str(path))
    settings = Settings(path=path, layout_config=Path(), state_dir=_state_dir(reader), database=_database(reader))
    _refused_or_told(ini, reader)
    return settings


def read_bridge_settings(path: Path) -> tuple[BridgeSettings, tuple[Problem, ...]]:
    """What ``ci-gate jenkins`` needs of the file; where it runs there may be no layout. Raises RefusedError."""
    ini = _parsed(path)
    reader = Reader(ini, str(path))
    settings = BridgeSettings(
        gearman=read_gearman(reader, read_gearman_server(reader)),
        jenkins=read_jenkins_sections(ini, reader),
        log_config=reader.path("zuul", "log_config"),
    )
    if not settings.jenkins and not has_errors(reader.problems):
        reader.error(0, "there is no [jenkins NAME] section: add one with the url of a Jenkins")
    _check_names(ini, reader)
    return settings, _refused_or_told(ini, reader)


def read_gearman_settings(path: Path) -> tuple[GearmanSettings, tuple[Problem, ...]]:
    """What every worker needs of the file: where the Gearman server is. Raises RefusedError."""
    ini = _parsed(path)
    reader = Reader(ini, str(path))
    return read_gearman(reader, read_gearman_server(reader)), _refused_or_told(ini, reader)


def read_job_server_settings(path: Path) -> tuple[GearmanServerSettings, int, tuple[Problem, ...]]:
    """What ``ci-gate gearman`` needs of the file: the server and its port. Raises RefusedError."""
    ini = _parsed(path)
    reader = Reader(ini, str(path))
    port = reader.integer("gearman", "port", 4730)
    return read_gearman_server(reader), port, _refused_or_told(ini, reader)


def error_at(path: Path, section: str, key: str, text: str) -> Problem:
    """What only a start finds wrong with a value, at its place in the file; ``section`` may be a connection's name."""
    try:
        ini = _parsed(path)
    except RefusedError:  # it was just read
        return Problem(str(path), 0, 0, Level.ERROR, f"[{section}] {key}: {text}")
    place = section if section in schema.SECTIONS and section not in OLD_FORM else section_of(ini, section)
    if key in schema.ZUUL and schema.ZUUL[key].moved and ini.get(place, key) is None:
        place = "zuul"
    value = ini.get(place, key)
    return Problem(str(path), value.line if value else 0, 0, Level.ERROR, f"[{place}] {key}: {text}")


def _refused_or_told(ini: Ini, reader: Reader) -> tuple[Problem, ...]:
    problems = tuple(sorted([*ini.problems, *reader.problems], key=lambda each: each.line))
    if has_errors(problems):
        raise RefusedError(problems)
    return problems


def _parsed(path: Path) -> Ini:
    """Raises RefusedError if the file cannot be read at all."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as problem:
        reason = f"cannot be read: {problem.strerror}"
        raise RefusedError([Problem(str(path), 0, 0, Level.ERROR, reason)]) from problem
    except UnicodeDecodeError as problem:
        raise RefusedError([Problem(str(path), 0, 0, Level.ERROR, _not_utf8(problem))]) from problem
    return parse(text, str(path))


def _not_utf8(problem: UnicodeDecodeError) -> str:
    line = problem.object[: problem.start].count(b"\n") + 1
    return f"a character on line {line} is not UTF-8; save the file as UTF-8"


def _settings(path: Path, ini: Ini, reader: Reader, *, for_merger: bool, layout: str | Path | None) -> Settings:
    state_dir = _state_dir(reader)
    gearman_server = read_gearman_server(reader)
    before = len(reader.problems)
    connections = read_connections(ini, reader, state_dir)
    has_gerrit = any(isinstance(each, GerritSettings) for each in connections.values())
    if not has_gerrit and not has_errors(reader.problems[before:]) and not for_merger:
        reader.missing("gerrit", "server", "at least one Gerrit connection is needed")
    return Settings(
        path=path,
        layout_config=Path(layout) if layout else _layout(reader, for_merger=for_merger),
        state_dir=state_dir,
        log_config=reader.path("zuul", "log_config"),
        pidfile=reader.path("zuul", "pidfile") or Path("/var/run/zuul/zuul.pid"),
        connections=connections,
        gearman=read_gearman(reader, gearman_server),
        gearman_server=gearman_server,
        jenkins=read_jenkins_sections(ini, reader),
        web=WebSettings(
            listen_address=reader.text("webapp", "listen_address") or schema.WEBAPP["listen_address"].default,
            port=reader.integer("webapp", "port", 8001),
            status_expiry_s=reader.integer("zuul", "status_expiry", 1),
            token_file=reader.path("web", "token_file"),
            prefix=reader.text("web", "prefix") or "/",
        ),
        merger=_merger(ini, reader, for_merger=for_merger),
        scheduler=_scheduler(reader),
        database=_database(reader),
        shadow=ShadowSettings(
            account=reader.text("zuul", "shadow_account"),
            patience_s=reader.duration("zuul", "shadow_patience", 12 * 3600.0),
        ),
        swift=_swift(ini, reader),
    )


def _state_dir(reader: Reader) -> Path:
    return reader.path("zuul", "state_dir") or Path("/var/lib/zuul")


def _database(reader: Reader) -> DatabaseSettings:
    return DatabaseSettings(
        dburi=reader.text("database", "dburi"),
        retention_days=reader.integer("database", "retention_days", 14),
        retention_size_mb=reader.integer("database", "retention_size_mb", 2048),
        history_days=reader.integer("database", "history_days", 365),
    )


def _layout(reader: Reader, *, for_merger: bool) -> Path:
    if for_merger:
        return reader.path("zuul", "layout_config") or Path()
    return reader.required_path("zuul", "layout_config", "set it to the layout file")


def _merger(ini: Ini, reader: Reader, *, for_merger: bool) -> MergerSettings:
    def place(key: str) -> str:
        """Where a key stands that was in [zuul] up to Zuul 2.0."""
        old, new = ini.get("zuul", key), ini.get("merger", key)
        if old is not None and new is not None:
            reader.notice(old.line, f"[zuul] {key}: ignored, since [merger] has it too")
        elif old is not None:
            reader.notice(old.line, f"[zuul] {key}: moved to [merger] in Zuul 2.1; used from here")
        return "merger" if new is not None or old is None else "zuul"

    if reader.boolean("zuul", "push_change_refs", default=False):
        text = "[zuul] push_change_refs: ci-gate serves merged refs over HTTP and does not push them to Gerrit"
        reader.notice(reader.line("zuul", "push_change_refs"), text)
    url = reader.text(place("zuul_url"), "zuul_url")
    embedded = reader.boolean("merger", "embedded", default=True)
    if for_merger and not url:
        advice = "set it to the URL where workers fetch refs, e.g. http://ci.example.org/p"
        reader.missing("merger", "zuul_url", advice)
    elif embedded and not url:
        reader.notice(0, "[merger] zuul_url is missing: the service does not merge itself; mergers must run elsewhere")
    return MergerSettings(
        git_dir=reader.path(place("git_dir"), "git_dir") or Path("/var/lib/zuul/git"),
        git_user_email=reader.text(place("git_user_email"), "git_user_email"),
        git_user_name=reader.text(place("git_user_name"), "git_user_name"),
        zuul_url=url,
        embedded=embedded and bool(url),
        ref_retention_s=reader.duration("merger", "ref_retention", 14 * 86400.0),
        log_config=reader.path("merger", "log_config"),
    )


def _scheduler(reader: Reader) -> SchedulerSettings:
    def boolean(key: str, *, default: bool = False) -> bool:
        return reader.boolean("zuul", key, default=default)

    return SchedulerSettings(
        report_times=boolean("report_times", default=True),
        status_url=reader.text("zuul", "status_url"),
        url_pattern=_url_pattern(reader),
        job_name_in_report=boolean("job_name_in_report"),
        noop_joins_queues=boolean("noop_joins_queues"),
        reject_requires_votes=boolean("reject_requires_votes"),
        report_without_jobs=boolean("report_without_jobs"),
        depends_on_urls=boolean("depends_on_urls"),
        report_cycles=boolean("report_cycles"),
        replication_timeout_s=reader.integer("zuul", "replication_timeout", 300),
        replication_retry_interval_s=reader.integer("zuul", "replication_retry_interval", 5),
        shadow=boolean("shadow"),
    )


def _url_pattern(reader: Reader) -> str | None:
    pattern = reader.text("zuul", "url_pattern")
    why = why_never(pattern, IN_REPORTS) if pattern else None
    if why is not None:
        text = f"[zuul] url_pattern: {why}; it can never be filled in, and reports link to the worker's URL instead"
        reader.notice(reader.line("zuul", "url_pattern"), text)
    return pattern


def _swift(ini: Ini, reader: Reader) -> Mapping[str, str] | None:
    section = ini.sections.get("swift")
    if section is None:
        return None
    for name, key in schema.SWIFT.items():
        if key.kind == "boolean":
            reader.boolean("swift", name, default=False)
        elif key.kind == "integer":
            reader.integer("swift", name, 0)
    return {key: value.text for key, value in section.values.items()}


def _check_names(ini: Ini, reader: Reader) -> None:
    """Unknown sections and keys are not errors: they are named, with what was most likely meant."""
    launcher = [each for each in ini.sections if each == "launcher" or each.startswith(schema.TOLERATED[1:])]
    if launcher:
        line = ini.sections[launcher[0]].line
        reader.notice(line, f"[{launcher[0]}]: sections of zuul-launcher are accepted and have no effect")
    for name, section in ini.sections.items():
        if name == "jenkins":
            said = "[jenkins]: of Zuul 1, without effect; builds go over Gearman now, or over HTTP by [jenkins NAME]"
            reader.notice(section.line, said)
        known = known_keys(ini, name)
        if known is None:
            if name not in launcher and name != "jenkins":
                meant = _nearest_section(name)
                reader.notice(
                    section.line, f"unknown section [{name}]" + (f"; did you mean [{meant}]?" if meant else "")
                )
            continue
        for key, value in section.values.items():
            if key not in known:
                meant = nearest(key, known)
                hint = f"; did you mean {meant}?" if meant else ""
                reader.notice(value.line, f"[{name}] {key}: unknown key, ignored{hint}")


def _nearest_section(name: str) -> str | None:
    kind, blank, rest = name.partition(" ")
    if blank and (meant := nearest(kind, schema.NAMED)):
        return f"{meant} {rest}"
    whole = {**dict.fromkeys((*schema.SECTIONS, "launcher"), ""), "connection": " NAME"}
    found = nearest(name, whole)
    return found and f"{found}{whole[found]}"


def known_keys(ini: Ini, section: str) -> Mapping[str, schema.Key] | None:
    """The table of a section; None: nothing reads it."""
    if re.match(r"connection ", section, re.IGNORECASE):
        driver = ini.get(section, "driver")
        return schema.DRIVERS.get(driver.text if driver else "", schema.GERRIT)
    if section.startswith("jenkins "):
        return schema.JENKINS
    return schema.SECTIONS.get(section)
