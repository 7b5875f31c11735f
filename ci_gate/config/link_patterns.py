"""Whether the pattern of a link can ever be applied: its braces, and names that no build has (ci-conf.md 4.1)."""

from __future__ import annotations

import string
from collections.abc import Mapping
from types import MappingProxyType

from ci_gate.config.nearest import nearest
from ci_gate.model.pattern_fields import Attribute, field_path

Names = Mapping[str, "Names | None"]
"""Attributes by name; None has none, and ``ANY`` is a mapping with members of any name."""

ANY: Names = MappingProxyType({})


def _names(*plain: str, **nested: Names) -> Names:
    return MappingProxyType(dict.fromkeys(plain) | nested)


NAME = _names("name")
KNOWN: Names = _names(
    change=_names(
        *("number", "patchset", "refspec", "branch", "status", "owner", "url", "ref", "oldrev", "newrev"), project=NAME
    ),
    pipeline=NAME,
    job=NAME,
    build=_names(
        *("uuid", "number", "url", "result", "node_name", "start_time", "end_time"),
        parameters=ANY,
        worker=_names("name", "hostname", "fqdn", "program", "version"),
    ),
)


def pattern_problem(pattern: str) -> str | None:
    """Why it will fail for every build; None if there may be one for which it does not."""
    try:
        for _, field, spec, conversion in string.Formatter().parse(pattern):
            if field is None:
                continue
            problem = _field_problem(field) or (pattern_problem(spec) if spec else None)
            if conversion is not None and conversion not in ("r", "s", "a"):
                problem = problem or f"!{conversion} is not a conversion"
            if problem is not None:
                return problem
    except ValueError as problem:
        return str(problem)
    return None


def _field_problem(field: str) -> str | None:
    """Raises ValueError for what is no field."""
    path = field_path(field)
    reached, known = path.first, KNOWN
    inside: Names | None = known.get(path.first)
    if path.first not in known:
        return _unknown(path.first, known)
    for step in path.steps:
        if not isinstance(step, Attribute):
            if inside is not ANY:
                return f"{reached} has no members in brackets"
            reached, inside = f"{reached}[{step.key}]", None
        elif inside is ANY:
            return f"{reached}.{step.name}: write {reached}[{step.name}]"
        elif inside is None or step.name not in inside:
            return _unknown(step.name, inside or {}, of=reached)
        else:
            reached, inside = f"{reached}.{step.name}", inside[step.name]
    return None


def _unknown(name: str, known: Names, of: str = "") -> str:
    meant = nearest(name, known)
    hint = f"; did you mean {of}{'.' if of else ''}{meant}?" if meant else ""
    return f"there is no {of}{'.' if of else ''}{name}{hint}"
