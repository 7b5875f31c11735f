"""What format strings of reports may name, known before any build ends (``spec/ci-conf.md`` 4.1, layout.md 5.6)."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from typing import Any

STEP = re.compile(r"\.(?P<attribute>[^.\[\]]+)|\[(?P<member>[^\[\]]+)\]")
FIELD = re.compile(r"(?P<first>[^.\[\]]+)(\.[^.\[\]]+|\[[^\[\]]+\])*")

Names = Mapping[str, Any]
"""Names to the names within; ``ANY_MEMBER`` has members in brackets, whatever they are called."""
ANY_MEMBER: Names = {"[…]": {}}


def _names(text: str, **within: Names) -> Names:
    return {**{name: {} for name in text.split()}, **within}


CHANGE = _names("number patchset refspec ref oldrev newrev branch url status owner", project=_names("name"))
IN_MAILS = _names("", change=CHANGE)
IN_REPORTS = _names(
    "",
    change=CHANGE,
    pipeline=_names("name"),
    job=_names("name"),
    build=_names(
        "uuid number url result node_name start_time end_time",
        parameters=ANY_MEMBER,
        worker=_names("name hostname fqdn program version"),
    ),
)


def why_never(pattern: str, known: Names) -> str | None:
    """Why the pattern can never be filled in; None if it can."""
    try:
        fields = [field for _, field, _, _ in string.Formatter().parse(pattern) if field is not None]
    except ValueError as problem:
        return str(problem)
    return next((why for field in fields if (why := _why_unknown(field, known)) is not None), None)


def _why_unknown(field: str, known: Names) -> str | None:
    found = FIELD.fullmatch(field)
    if found is None:
        return f"{{{field}}} names nothing"
    further = STEP.finditer(field, found.end("first"))
    steps: list[str] = [found["first"], *(each["attribute"] or f"[{each['member']}]" for each in further)]
    names = known
    for step in steps:
        wanted = "[…]" if step.startswith("[") and names is ANY_MEMBER else step
        if wanted not in names:
            there = f", only {', '.join(names)}" if names else ""
            return f"{{{field}}}: there is no {step}{there}"
        names = names[wanted]
    return None
