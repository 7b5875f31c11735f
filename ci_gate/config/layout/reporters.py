"""Actions of a pipeline: who is told what, by which connection (``spec/layout.md`` 5.6, gerrit-wire.md 6.1)."""

from __future__ import annotations

from yaml.nodes import MappingNode, Node

from ci_gate.config.document import Entry, Place, place_of, scalar_value
from ci_gate.config.layout import schema
from ci_gate.config.layout.fields import Fields, Key, Table, check_pattern, read_fields
from ci_gate.config.layout.reader import Reader, described, shortened, spot
from ci_gate.config.layout.votes import as_integer, vote_value
from ci_gate.config.nearest import nearest
from ci_gate.config.report_patterns import IN_MAILS
from ci_gate.model.layout import GerritReporter, Reporter, SmtpReporter, SqlReporter

DRIVERS = ("gerrit", "smtp", "sql")
OURS = ("message", "project")


def read_reporters(reader: Reader, pipeline: Fields, key: Key[Node | None], pipeline_name: str) -> tuple[Reporter, ...]:
    """One action of a pipeline: a mapping from connection to settings."""
    node = pipeline.value(key)
    if node is None:
        return ()
    if not isinstance(node, MappingNode):
        reader.mistyped(key.name, "a mapping, such as `gerrit:` with labels under it", node, pipeline.key_node(key))
        return ()
    found = []
    for name, entry in reader.document.entries(node).items():
        driver = _driver(reader, name, entry)
        if driver is None:
            _report_unknown(reader, name, entry, pipeline_name)
            continue
        reporter = _read(reader, name, entry, driver)
        if reporter is not None:
            found.append(reporter)
    return tuple(found)


def _driver(reader: Reader, name: str, entry: Entry) -> str | None:
    """The kind of reporter. Where the connections are not known, whatever the contents fit."""
    if name in schema.BUILT_IN_TRIGGERS:
        return None
    if reader.connections is not None:
        driver = reader.connections.get(name)
        return driver if driver in DRIVERS else None
    settings = entry[1]
    if name in ("gerrit", "smtp"):
        return name
    if _is_vote(settings):
        return None
    if not isinstance(settings, MappingNode):
        return "gerrit"
    keys = set(reader.document.entries(settings))
    if keys and keys <= _names(schema.SMTP_REPORTER):
        return "smtp"
    return "sql" if keys and keys <= _names(schema.SQL_REPORTER) else "gerrit"


def _names(table: Table) -> set[str]:
    return {key.name for key in table.keys}


def _is_vote(node: Node) -> bool:
    """A vote or a flag where settings belong: the form of Zuul 1.x."""
    return as_integer(node) is not None or isinstance(scalar_value(node), bool)


def _report_unknown(reader: Reader, name: str, entry: Entry, pipeline: str) -> None:
    available = reader.connections_with(*DRIVERS)
    text = f'unknown reporter "{name}" in pipeline "{pipeline}"'
    if name in schema.BUILT_IN_TRIGGERS:
        hint = f"; {name} is a trigger only"
    elif _is_vote(entry[1]):
        connection = next(iter(reader.connections_with("gerrit")), "gerrit")
        hint = f"; put votes under the connection's name: `{connection}: {{{name}: {entry[1].value}}}`"
    else:
        meant = nearest(name, available)
        hint = f'; did you mean "{meant}"?' if meant else ""
    listed = f"; available: {', '.join(available)}" if available else ""
    reader.report("unknown-reporter", place_of(entry[0]), text + hint + listed, about=name)


def _read(reader: Reader, name: str, entry: Entry, driver: str) -> Reporter | None:
    if driver == "gerrit":
        return _gerrit(reader, name, entry)
    table = schema.SMTP_REPORTER if driver == "smtp" else schema.SQL_REPORTER
    fields = read_fields(reader, entry[1], table, name, entry[0])
    if fields is None:
        return None
    if driver == "sql":
        return SqlReporter(name, fields[schema.SCORE])
    check_pattern(reader, fields, schema.MAIL_SUBJECT, IN_MAILS, "the usual subject is used instead")
    return SmtpReporter(
        name, to=fields[schema.MAIL_TO], sender=fields[schema.MAIL_FROM], subject=fields[schema.MAIL_SUBJECT]
    )


def _gerrit(reader: Reader, name: str, entry: Entry) -> GerritReporter | None:
    key, node = entry
    if not isinstance(node, MappingNode):
        reader.mistyped(name, "a mapping of labels and options", node, key)
        return None
    labels: list[tuple[str, int]] = []
    flags: list[str] = []
    options: list[tuple[str, str]] = []
    for setting, (setting_key, setting_value) in reader.document.entries(node).items():
        value = scalar_value(setting_value)
        if setting in OURS:
            _report_ours(reader, setting, place_of(setting_key))
        elif value is False or value is None:
            text = f"{setting} has no effect: {described(setting_value)} leaves it out"
            reader.report("no-effect", place_of(setting_key), text)
        elif setting in schema.GERRIT_OPTIONS:
            if isinstance(value, str):
                options.append((setting, value))
            else:
                reader.mistyped(setting, "a string", setting_value, setting_key)
        elif value is True:
            flags.append(setting)
        elif setting in schema.GERRIT_FLAGS:
            text = f"{setting}: {described(setting_value)} is not allowed; allowed: true"
            reader.report("bad-value", spot(setting_value, setting_key), text)
        else:
            vote = vote_value(reader, setting, setting_key, setting_value)
            if vote is not None:
                labels.append((setting, vote))
    return GerritReporter(name, labels=tuple(labels), flags=tuple(flags), options=tuple(options))


def _report_ours(reader: Reader, key: str, place: Place) -> None:
    why = "the text is made from the pipeline's *-message keys" if key == "message" else "it is the change's own"
    reader.report("unknown-key", place, f'unknown key "{shortened(key)}" in a Gerrit reporter; {why}')
