"""The fields of format strings that make links and subjects: ``build.parameters[LOG_PATH]`` (outputs.md 2.3)."""

from __future__ import annotations

import re
from dataclasses import dataclass

STEP = re.compile(r"\.([^.\[\]]+)|\[([^\[\]]+)\]")
FIELD = re.compile(rf"[^.\[\]]+(?:{STEP.pattern})*")


@dataclass(frozen=True, slots=True)
class Attribute:
    name: str


@dataclass(frozen=True, slots=True)
class Member:
    key: str


@dataclass(frozen=True, slots=True)
class FieldPath:
    """``first`` is the object, ``steps`` lead from there to the value."""

    first: str
    steps: tuple[Attribute | Member, ...]


def field_path(text: str) -> FieldPath:
    """Raises ValueError for what is no field."""
    if not FIELD.fullmatch(text):
        raise ValueError(f"{text!r} is not a field")
    first, *_ = re.split(r"[.\[]", text, maxsplit=1)
    return FieldPath(first, tuple(Attribute(name) if name else Member(key) for name, key in STEP.findall(text)))
