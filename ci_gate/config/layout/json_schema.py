"""The tables of keys as JSON Schema, for completion and checking in editors.

It knows shapes, not names: that a pipeline or a template exists is for ``ci-gate validate`` to say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ci_gate.config.layout import schema as s
from ci_gate.config.layout.fields import Choice, Flag, Integer, Key, Regex, Several, Table, Text

DIALECT = "http://json-schema.org/draft-07/schema#"

Schema = dict[str, Any]

INTEGER_OR_TEXT: Schema = {"anyOf": [{"type": "integer"}, {"type": "string", "pattern": r"^\s*[-+]?[0-9]+\s*$"}]}
TIME: Schema = {"type": "string", "pattern": "^[0-9]+[smhdw]$"}
JOB_LIST: Schema = {"$ref": "#/definitions/job-list"}


def json_schema() -> Schema:
    """One document. Shapes that are read leniently (a single job in place of a list) are not offered."""
    return {
        "$schema": DIALECT,
        "title": "layout.yaml of ci-gate",
        **_table(s.FILE),
        "definitions": {
            "job-list": {
                "type": "array",
                "items": {"anyOf": [{"type": "string"}, {"type": "object", "additionalProperties": JOB_LIST}]},
            }
        },
    }


def _table(table: Table, others: Schema | None = None) -> Schema:
    answer: Schema = {
        "type": "object",
        "properties": {key.name: {**_key(key), "description": key.help} for key in table.keys},
        "additionalProperties": others if others is not None else False,
    }
    required = [key.name for key in table.keys if key.required]
    return {**answer, "required": required} if required else answer


def _key(key: Key[object]) -> Schema:
    nested = _nested(key)
    if nested is not None:
        return nested
    shape = _kind(key.kind)
    return {**shape, "default": key.default} if key.default and isinstance(key.default, str | int) else shape


def _kind(kind: object) -> Schema:
    match kind:
        case Text() | Regex():
            return {"type": "string"}
        case Flag():
            return {"type": "boolean"}
        case Integer(minimum=None):
            return {"type": "integer"}
        case Integer(minimum=least):
            return {"type": "integer", "minimum": least}
        case Choice(allowed=allowed):
            return {"enum": list(allowed)}
        case Several(one=one):
            return _one_or_several(_kind(one))
        case _:
            raise TypeError(f"no shape for {kind!r}")


def _one_or_several(one: Schema) -> Schema:
    return {"anyOf": [one, {"type": "array", "items": one}]}


def _list_of(table: Table, others: Schema | None = None) -> Schema:
    return {"type": "array", "items": _table(table, others)}


def _nested(key: Key[object]) -> Schema | None:
    """What stands below a key that has a reading of its own; None for the others."""
    build = _BUILDERS.get(id(key))
    return build() if build else None


def _votes() -> Schema:
    return _one_or_several(_table(s.VOTE, _one_or_several(INTEGER_OR_TEXT)))


def _event_votes() -> Schema:
    return _one_or_several({"type": "object", "additionalProperties": INTEGER_OR_TEXT})


def _trigger() -> Schema:
    filters = {name: _one_or_several(_table(table)) for name, table in _BUILT_IN.items()}
    return {"type": "object", "properties": filters, "additionalProperties": _one_or_several(_table(s.GERRIT_FILTER))}


_BUILT_IN = {"timer": s.TIMER_FILTER, "zuul": s.ZUUL_FILTER}


def _action() -> Schema:
    """By connection; its kind is not known here, so the settings of each kind will do."""
    flags = {name: {"type": "boolean"} for name in s.GERRIT_FLAGS}
    options = {name: {"type": "string"} for name in s.GERRIT_OPTIONS}
    gerrit = {"type": "object", "properties": {**flags, **options}, "additionalProperties": INTEGER_OR_TEXT}
    return {
        "type": "object",
        "additionalProperties": {"anyOf": [gerrit, _table(s.SMTP_REPORTER), _table(s.SQL_REPORTER)]},
    }


def _calls() -> Schema:
    call = {
        "type": "object",
        "properties": {"name": {"type": "string", "description": "The template."}},
        "required": ["name"],
        "additionalProperties": {"type": "string"},
    }
    return {"type": "array", "items": call}


_BUILDERS: dict[int, Callable[[], Schema]] = {
    id(s.INCLUDES): lambda: _list_of(s.INCLUDE),
    id(s.PIPELINES): lambda: _list_of(s.PIPELINE),
    id(s.JOBS): lambda: _list_of(s.JOB),
    id(s.TEMPLATES): lambda: _list_of(s.PROJECT_TEMPLATE, JOB_LIST),
    id(s.PROJECTS): lambda: _list_of(s.PROJECT, JOB_LIST),
    id(s.TRIGGER): _trigger,
    id(s.REQUIRE): lambda: _table(s.REQUIREMENTS),
    id(s.REJECT): lambda: _table(s.REJECTIONS),
    id(s.PRIORITY): lambda: _list_of(s.PRIORITY_ENTRY),
    id(s.APPROVAL): _event_votes,
    id(s.REQUIRE_APPROVAL): _votes,
    id(s.REJECT_APPROVAL): _votes,
    id(s.REQUIRED_VOTES): _votes,
    id(s.NEWER_THAN): lambda: TIME,
    id(s.OLDER_THAN): lambda: TIME,
    id(s.SKIP_IF): lambda: _list_of(s.SKIP),
    id(s.SWIFT): lambda: _one_or_several(_table(s.DESTINATION)),
    id(s.TEMPLATE): _calls,
    **{id(action): _action for action in s.ACTIONS},
}
"""By key: two keys of one name may have different things below them."""
