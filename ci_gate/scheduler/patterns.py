"""URL patterns: Python format strings over plain data, nothing that executes (outputs.md 2.3, ci-conf.md 4.1)."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence

from ci_gate.model.change import Change, RefUpdate, Subject
from ci_gate.model.item import BuildView
from ci_gate.model.pattern_fields import Attribute, field_path

LONGEST_RESULT = 2000
WIDEST_FIELD = 1000


class PatternError(Exception):
    """A pattern cannot be applied to this build."""


class Fields:
    """A named bundle of data for patterns: ``{change.number}``; prints as ``text``."""

    def __init__(self, text: str, **fields: object) -> None:
        self.text = text
        self.fields = fields

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__

    def __format__(self, spec: str) -> str:
        return format(self.text, spec)


class _DataFormatter(string.Formatter):
    def get_field(self, field_name: str, args: Sequence[object], kwargs: Mapping[str, object]) -> tuple[object, str]:
        path = field_path(field_name)
        if path.first not in kwargs:
            raise PatternError(f"unknown field {path.first!r}")
        found = kwargs[path.first]
        for step in path.steps:
            found = _attribute(found, step.name) if isinstance(step, Attribute) else _member(found, step.key)
        return found, path.first

    def format_field(self, value: object, format_spec: str) -> str:
        if any(int(digits) > WIDEST_FIELD for digits in re.findall(r"\d+", format_spec)):
            raise PatternError(f"format {format_spec!r} is too wide")
        if value is None:
            raise PatternError("a field has no value yet")
        return str(super().format_field(value, format_spec))


def _attribute(value: object, name: str) -> object:
    if not isinstance(value, Fields) or name.startswith("_") or name not in value.fields:
        raise PatternError(f"unknown field {name!r}")
    return value.fields[name]


def _member(value: object, key: str) -> object:
    if not isinstance(value, Mapping) or key not in value:
        raise PatternError(f"unknown member {key!r}")
    return value[key]


def expand(pattern: str, **fields: object) -> str:
    """Raises PatternError for whatever is wrong: broken braces, unknown or missing data, too long a result."""
    try:
        text = _DataFormatter().vformat(pattern, (), fields)
    except (ValueError, LookupError, AttributeError, TypeError, ArithmeticError) as problem:
        raise PatternError(str(problem)) from problem
    if len(text) > LONGEST_RESULT:
        raise PatternError(f"the result is longer than {LONGEST_RESULT} characters")
    return text


def change_fields(subject: Subject) -> Fields:
    """``change`` in patterns and mail subjects: what the subject has, and nothing that it does not have."""
    project = Fields(subject.project, name=subject.project)
    match subject:
        case Change():
            return Fields(
                str(subject.key),
                number=subject.number,
                patchset=subject.patchset,
                refspec=subject.refspec,
                branch=subject.branch,
                url=subject.url,
                status=subject.status,
                owner=(subject.owner.username or subject.owner.name) if subject.owner else None,
                project=project,
            )
        case RefUpdate():
            return Fields(
                f"{subject.ref}@{subject.newrev[:8]}",
                ref=subject.ref,
                oldrev=subject.oldrev,
                newrev=subject.newrev,
                url=subject.url,
                project=project,
            )
        case _:
            return Fields(subject.project, project=project)


def build_fields(build: BuildView) -> Fields:
    worker = build.worker
    return Fields(
        build.uuid or "",
        uuid=build.uuid,
        number=build.number,
        url=build.url,
        result=build.result,
        parameters=build.parameters,
        node_name=build.node_name,
        start_time=build.started_at,
        end_time=build.ended_at,
        worker=Fields(
            worker.name,
            name=worker.name,
            hostname=worker.hostname,
            fqdn=worker.fqdn,
            program=worker.program,
            version=worker.version,
        ),
    )


def report_url(pattern: str | None, subject: Subject, pipeline: str, job: str, build: BuildView) -> tuple[str, str]:
    """Where a report links to: the pattern; if there is none or it fails, the worker's URL; else the job's name.

    And why the pattern failed, or nothing.
    """
    problem = ""
    if pattern:
        try:
            text = expand(
                pattern,
                change=change_fields(subject),
                pipeline=Fields(pipeline, name=pipeline),
                job=Fields(job, name=job),
                build=build_fields(build),
            )
        except PatternError as failure:
            text, problem = "", str(failure)
        if text:
            return text, ""
    return build.url or job, problem
